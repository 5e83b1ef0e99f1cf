"""HTTP requests that are refused, by the ids of the table of bad input, and those that are not."""

from typing import Any

import numpy as np
import orjson
import pytest

from onnxd.errors import (
    InvalidRequest,
    MalformedPayload,
    PayloadTooLarge,
    ServerError,
    TensorMismatch,
)
from onnxd.messages import RequestedOutput
from onnxd.protocol.json_request import decode_infer_request, decode_raw_request, parse_header_length
from onnxd.protocol.limits import ProtocolLimits
from onnxd.tensors import Datatype, TensorSpec
from tests.unit.protocol.builders import LIMITS, decode, decode_text, document, spec, tensor

VALID = orjson.dumps(document())

BAD_TEXTS = {
    "C1-empty-body": b"",
    "C1-null": b"null",
    "C1-array": b"[]",
    "C1-string": b'"x"',
    "C1-empty-object": b"{}",
    "C1-truncated": VALID[:-1],
    "C1-trailing-junk": VALID + b"x",
    "C1-second-document": VALID + VALID,
    "C1-utf-16": VALID.decode().encode("utf-16"),
    "C1-bom": b"\xef\xbb\xbf" + VALID,
    "C1-bom-before-nan": b"\xef\xbb\xbf" + VALID.replace(b"1.0", b"NaN"),
    "C1-not-utf-8": VALID.replace(b'"x"', b'"\xff"'),
    "C1-lone-surrogate": VALID.replace(b'"x"', b'"\\ud800"'),
    "C1-lone-surrogate-beside-nan": VALID.replace(b'"x"', b'"\\ud800"').replace(b"1.0", b"NaN"),
    "C2-data-101-deep": VALID.replace(b"[1.0,2.0]", b"[" * 101 + b"]" * 101),
    "C2-data-100000-deep": VALID.replace(b"[1.0,2.0]", b"[" * 100_000 + b"]" * 100_000),
    "C2-data-100000-deep-beside-nan": VALID.replace(b"[1.0,2.0]", b"[NaN," + b"[" * 100_000 + b"]" * 100_001),
    "C2-unknown-member-101-deep": VALID[:-1] + b',"z":{"k":' + b"[" * 101 + b"]" * 101 + b"}}",
    "C3-5000-digits": VALID.replace(b"1.0", b"1" * 5000),
    "C3-5000-digits-beside-nan": VALID.replace(b"1.0,2.0", b"NaN," + b"1" * 5000),
    "C3-5000-digits-for-an-id": VALID[:-1] + b',"id":' + b"1" * 5000 + b"}",
    "C4-1e999-in-FP32": VALID.replace(b"1.0", b"1e999"),
    "C4-1e999-beside-nan": VALID.replace(b"1.0,2.0", b"NaN,1e999"),
    "C4-1e39-in-FP32": VALID.replace(b"1.0", b"1e39"),
    "C4-nan-in-INT32": VALID.replace(b"1.0", b"NaN").replace(b"FP32", b"INT32"),
    "C4-infinity-in-INT32": VALID.replace(b"1.0", b"-Infinity").replace(b"FP32", b"INT32"),
    "C4-1e999-in-INT32": VALID.replace(b"1.0", b"1e999").replace(b"FP32", b"INT32"),
    "C4-nan-as-a-dim": VALID.replace(b'"shape":[2]', b'"shape":[NaN]'),
    "C5-inputs-twice": VALID[:-1] + b"," + VALID[1:],
    "C5-name-twice": VALID.replace(b'"name":"x"', b'"name":"x","name":"x"'),
    "C5-data-twice": VALID.replace(b'"data":[1.0,2.0]', b'"data":[1.0,2.0],"data":[1.0,2.0]'),
    "C5-id-twice": VALID[:-1] + b',"id":"a","id":"b"}',
    "C5-parameter-twice": VALID[:-1] + b',"parameters":{"a":1,"a":2}}',
    "C5-escaped-key-twice": VALID[:-1] + b',"id":"a","i\\u0064":"b"}',
    "C5-twice-behind-a-string-with-colons": VALID[:-1] + b',"z":"\\":{\\\\","id":"a","id":"b"}',
    "C5-twice-in-an-unknown-member": VALID[:-1] + b',"z":{"a":1,"a":2}}',
    "C5-twice-beside-nan": VALID.replace(b'"data":[1.0', b'"data":[3,4],"data":[NaN'),
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS.keys())
def test_a_text_that_is_not_strict_json_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedPayload):
        decode_text(text)


def named(name: str) -> dict[str, Any]:
    return {"name": name}


BAD_DOCUMENTS: dict[str, dict[str, Any]] = {
    "C7-inputs-is-an-object": {"inputs": {}},
    "C7-inputs-is-null": {"inputs": None},
    "C7-an-input-is-a-string": {"inputs": ["x"]},
    "C7-input-without-name": {"inputs": [{"shape": [1], "datatype": "FP32", "data": [1]}]},
    "C7-input-without-datatype": {"inputs": [{"name": "x", "shape": [1], "data": [1]}]},
    "C7-input-without-shape": {"inputs": [{"name": "x", "datatype": "FP32", "data": [1]}]},
    "C7-number-as-name": document(tensor([1, 2], name=1)),  # type: ignore[arg-type]
    "C7-number-as-datatype": document(tensor([1, 2], datatype=32)),
    "C7-array-as-datatype": document(tensor([1, 2], datatype=["FP32"])),
    "C7-number-as-shape": document(tensor([1, 2], shape=2)),
    "C7-bool-as-dim": document(tensor([1], shape=[True])),
    "C7-float-as-dim": document(tensor([1, 2], shape=[2.0])),
    "C7-string-as-dim": document(tensor([1, 2], shape=["2"])),
    "C7-number-as-data": document(tensor(1)),
    "C7-string-as-data": document(tensor("ab", datatype="BYTES")),
    "C7-object-as-data": document(tensor({"a": 1})),
    "C7-array-as-input-parameters": document(tensor([1, 2]) | {"parameters": []}),
    "C7-array-as-parameters": document(parameters=[]),
    "C7-object-as-outputs": document(outputs={}),
    "C7-an-output-is-a-string": document(outputs=["y"]),
    "C7-output-without-name": document(outputs=[{}]),
    "C7-number-as-output-name": document(outputs=[{"name": 1}]),
    "C7-string-as-binary_data": document(outputs=[named("y") | {"parameters": {"binary_data": "true"}}]),
    "C7-string-as-binary_data_output": document(parameters={"binary_data_output": "true"}),
    "C7-number-as-binary_data_output": document(parameters={"binary_data_output": 1}),
    "C7-string-as-priority": document(parameters={"priority": "1"}),
    "C7-bool-as-priority": document(parameters={"priority": True}),
    "C7-negative-timeout": document(parameters={"timeout": -1}),
    "C7-float-as-timeout": document(parameters={"timeout": 1.5}),
    "C7-number-as-sequence_start": document(parameters={"sequence_start": 1}),
    "C7-negative-sequence_id": document(parameters={"sequence_id": -1}),
    "C8-string-in-FP32": document(tensor(["1.5", 2.0])),
    "C8-bool-in-FP32": document(tensor([True, 2.0])),
    "C8-null-in-FP32": document(tensor([None, 2.0])),
    "C8-bool-in-INT32": document(tensor([True, 2], datatype="INT32")),
    "C8-1.9-in-INT32": document(tensor([1.9, 2], datatype="INT32")),
    "C8-1.0-in-INT32": document(tensor([1.0, 2], datatype="INT32")),
    "C8-300-in-UINT8": document(tensor([300, 2], datatype="UINT8")),
    "C8-minus-1-in-UINT8": document(tensor([-1, 2], datatype="UINT8")),
    "C8-2^63-in-INT64": document(tensor([2**63, 2], datatype="INT64")),
    "C8-minus-1-in-UINT64": document(tensor([-1, 2], datatype="UINT64")),
    "C8-1-in-BOOL": document(tensor([1, True], datatype="BOOL")),
    "C8-string-in-BOOL": document(tensor(["true", True], datatype="BOOL")),
    "C8-number-in-BYTES": document(tensor([1, "a"], datatype="BYTES")),
    "C8-object-in-FP32": document(tensor([{}, 2.0])),
    "C9-ragged": document(tensor([[1, 2], [3]], shape=[2, 2])),
    "C9-row-is-a-number": document(tensor([[1, 2], 3], shape=[2, 2])),
    "C9-array-in-flat-data": document(tensor([1, [2]])),
    "C9-nested-deeper-than-shape": document(tensor([[1], [2]])),
    "C9-nested-less-than-shape": document(tensor([[1, 2]], shape=[1, 1, 2])),
    "C9-transposed": document(tensor([[1, 2], [3, 4], [5, 6]], shape=[2, 3])),
    "C9-one-too-many": document(tensor([1, 2, 3])),
    "C9-one-too-few": document(tensor([1])),
    "C9-nested-one-row-too-many": document(tensor([[1, 2], [3, 4], [5, 6]], shape=[2, 2])),
    "C9-data-for-an-empty-tensor": document(tensor([1], shape=[0])),
    "C10-data-and-binary_data_size": document(tensor([1, 2], binary_data_size=8)),
    "C10-neither": document(tensor()),
    "C10-data-and-shared-memory": document(tensor([1, 2], shared_memory_region="r")),
    "C10-binary-and-shared-memory": document(tensor(binary_data_size=0, shared_memory_region="r")),
    "C11-1-MB-id": document(id="x" * 2**20),
    "C11-257-byte-id": document(id="é" * 128 + "x"),
    "C11-id-with-newline": document(id="a\nb"),
    "C11-id-with-bidi-control": document(id="a\u202eb"),
    "C11-number-as-id": document(id=7),
    "C11-array-as-id": document(id=[]),
    "C12-reserved-prefix": document(parameters={"triton_x": 1}),
    "C12-reserved-prefix-allowed-in-grpc-only": document(
        parameters={"triton_enable_empty_final_response": True}
    ),
    "C12-10000-parameters": document(parameters={f"k{i}": i for i in range(10_000)}),
    "C12-10000-parameters-of-an-input": document(
        tensor([1, 2]) | {"parameters": {f"k{i}": i for i in range(10_000)}}
    ),
    "C12-nested-parameter": document(parameters={"a": {"b": 1}}),
    "C12-array-parameter": document(parameters={"a": []}),
    "C12-null-parameter": document(parameters={"a": None}),
    "C13-output-twice": document(outputs=[named("y"), named("y")]),
    "C13-100000-outputs": document(outputs=[named(f"y{i}") for i in range(100_000)]),
    "C14-classification-0": document(outputs=[named("y") | {"parameters": {"classification": 0}}]),
    "C14-classification-negative": document(outputs=[named("y") | {"parameters": {"classification": -1}}]),
    "C14-classification-float": document(outputs=[named("y") | {"parameters": {"classification": 1.0}}]),
    "C14-classification-bool": document(outputs=[named("y") | {"parameters": {"classification": True}}]),
    "D7-FP16-through-JSON": document(tensor([1, 2], datatype="FP16")),
    "D7-BF16-through-JSON": document(tensor([1, 2], datatype="BF16")),
    "E1-dim-minus-1": document(tensor([1, 2], shape=[-1])),
    "E1-dim-minus-2^31": document(tensor([1, 2], shape=[-(2**31)])),
    "E2-2^33-squared": document(tensor([], shape=[2**33, 2**33])),
    "E2-2^62-times-4": document(tensor([], shape=[2**62, 4])),
    "E2-2^62+8": document(tensor([1.0] * 8, shape=[2**62 + 8])),
    "E2-product-beyond-2^64": document(tensor([], shape=[2**31 - 1] * 3)),
    "E2-zero-beside-huge-dims": document(tensor([], shape=[0] + [2**31 - 1] * 3)),
    "E3-65-dims": document(tensor([1], shape=[1] * 65)),
    "E5-unknown-datatype": document(tensor([1, 2], datatype="FP33")),
    "E5-lower-case-datatype": document(tensor([1, 2], datatype="fp32")),
    "E5-config-datatype": document(tensor([1, 2], datatype="TYPE_FP32")),
    "E6-input-twice": document(tensor([1, 2]), tensor([3, 4])),
    "E6-1025-inputs": document(*(tensor([1, 2], name=f"x{i}") for i in range(1025))),
}


@pytest.mark.parametrize("request_document", BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS.keys())
def test_a_request_that_is_not_the_protocols_is_refused(request_document: dict[str, Any]) -> None:
    with pytest.raises(MalformedPayload) as caught:
        decode(request_document)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500


GOOD_TEXTS = {
    "C4-nan-in-FP32": (b"NaN,2.0", [float("nan"), 2.0]),
    "C4-infinities-in-FP32": (b"-Infinity,Infinity", [-np.inf, np.inf]),
    "C8-integers-in-FP32": (b"1,2", [1.0, 2.0]),
    "C8-huge-integer-in-FP32": (b"1,100000000000000000000000000000", [1.0, 1e29]),
    "C8-huge-integer-beside-nan": (b"NaN,100000000000000000000000000000", [float("nan"), 1e29]),
}


@pytest.mark.parametrize(("data", "expected"), GOOD_TEXTS.values(), ids=GOOD_TEXTS.keys())
def test_floats_come_as_numbers_and_as_the_tokens_that_clients_write(
    data: bytes, expected: list[float]
) -> None:
    request = decode_text(VALID.replace(b"1.0,2.0", data))
    np.testing.assert_array_equal(request.inputs["x"], np.array(expected, np.float32))


def test_colons_in_strings_are_no_duplicate_keys() -> None:
    text = 'a:b "c": \\" \\\\:'
    request = decode(document(tensor([text, "{}:"], datatype="BYTES"), id="1:2", other={"k": ":"}))
    assert request.inputs["x"].tolist() == [text, "{}:"]


def test_members_that_the_protocol_does_not_know_are_ignored() -> None:
    request = decode(document(model_name="other", unknown={"a": [{"b": 1}]}))
    assert request.model_name == "m"


def test_null_is_as_good_as_absent_for_the_optional_members() -> None:
    request = decode(document(tensor([1, 2]) | {"parameters": None}, id=None, parameters=None, outputs=None))
    assert (request.id, request.outputs, request.parameters) == ("", (), {})


def test_data_may_be_flat_or_nested_as_the_shape_says() -> None:
    flat = decode(document(tensor([1, 2, 3, 4, 5, 6], shape=[1, 2, 3]))).inputs["x"]
    nested = decode(document(tensor([[[1, 2, 3], [4, 5, 6]]], shape=[1, 2, 3]))).inputs["x"]
    np.testing.assert_array_equal(flat, nested)
    assert flat.shape == (1, 2, 3)


@pytest.mark.parametrize(
    ("data", "shape"),
    [([], [0]), ([], [2, 0]), ([[], []], [2, 0]), ([], [0, 3])],
    ids=["empty", "flat", "nested", "no-rows"],
)
def test_an_empty_tensor_keeps_its_shape(data: list[Any], shape: list[int]) -> None:
    assert decode(document(tensor(data, shape=shape))).inputs["x"].shape == tuple(shape)


def test_a_scalar_has_one_element_and_rank_zero() -> None:
    assert decode(document(tensor([7], shape=[], datatype="INT64"))).inputs["x"].shape == ()


def test_the_full_range_of_64_bits_is_kept() -> None:
    signed = decode(document(tensor([-(2**63), 2**63 - 1], datatype="INT64"))).inputs["x"]
    unsigned = decode(document(tensor([0, 2**64 - 1], datatype="UINT64"))).inputs["x"]
    assert signed.tolist() == [-(2**63), 2**63 - 1]
    assert unsigned.tolist() == [0, 2**64 - 1]


def test_special_parameters_are_taken_out_and_the_others_kept() -> None:
    parameters = {
        "priority": 3,
        "timeout": 1500,
        "binary_data_output": True,
        "sequence_id": "abc",
        "sequence_start": True,
        "sequence_end": False,
        "mine": 1.5,
    }
    request = decode(document(parameters=parameters))
    assert (request.priority, request.queue_timeout_s, request.binary_by_default) == (3, 0.0015, True)
    assert request.parameters == {
        "sequence_id": "abc",
        "sequence_start": True,
        "sequence_end": False,
        "mine": 1.5,
    }


def test_a_timeout_of_zero_is_none() -> None:
    assert decode(document(parameters={"timeout": 0})).queue_timeout_s is None


def test_outputs_keep_their_order_and_what_was_asked_of_each() -> None:
    request = decode(
        document(
            outputs=[
                {"name": "b", "parameters": {"binary_data": True}},
                {"name": "a", "parameters": {"binary_data": False, "classification": 3}},
                {"name": "c"},
            ]
        )
    )
    assert request.outputs == (
        RequestedOutput("b", True),
        RequestedOutput("a", False, 3),
        RequestedOutput("c"),
    )


def test_no_outputs_means_all_of_them() -> None:
    assert decode(document(outputs=[])).outputs == ()


def test_json_over_its_limit_is_too_large() -> None:
    limits = ProtocolLimits(max_json_bytes=len(VALID))
    assert decode_text(VALID, limits=limits).inputs["x"].tolist() == [1.0, 2.0]
    with pytest.raises(PayloadTooLarge):
        decode_text(VALID + b" ", limits=limits)


def test_a_message_names_the_tensor_and_what_came() -> None:
    with pytest.raises(MalformedPayload) as caught:
        decode(document(tensor([1, 300], datatype="UINT8", name="pixels")))
    assert caught.value.message == (
        "input 'pixels': expected each UINT8 in 'data' to be from 0 to 255, got 300 at element 1"
    )


# The binary tensor extension.

PAIR = b"\x00\x00\x80\x3f\x00\x00\x00\x40"
"""1.0 and 2.0 as FP32."""

BAD_TAILS: dict[str, tuple[dict[str, Any], bytes]] = {
    "D1-too-small": (document(tensor(binary_data_size=4)), PAIR[:4]),
    "D1-too-large": (document(tensor(binary_data_size=12)), PAIR),
    "D1-negative": (document(tensor(binary_data_size=-8)), PAIR),
    "D1-zero": (document(tensor(binary_data_size=0)), b""),
    "D1-2^63": (document(tensor(binary_data_size=2**63)), PAIR),
    "D1-string": (document(tensor(binary_data_size="8")), PAIR),
    "D1-bool": (document(tensor(binary_data_size=True)), PAIR),
    "D1-null": (document(tensor(binary_data_size=None)), PAIR),
    "D2-tail-too-long": (document(tensor(binary_data_size=8)), PAIR + b"x"),
    "D2-tail-too-short": (document(tensor(binary_data_size=8)), PAIR[:-1]),
    "D2-tail-without-binary-input": (document(), PAIR),
    "D2-second-input-finds-nothing": (
        document(tensor(binary_data_size=8), tensor(name="z", binary_data_size=8)),
        PAIR,
    ),
    "D3-not-a-multiple-of-4": (document(tensor(binary_data_size=7)), PAIR[:7]),
    "D6-BOOL-of-2": (document(tensor(datatype="BOOL", binary_data_size=2)), b"\x01\x02"),
    "D9-INT8-bytes-for-FP32": (document(tensor(shape=[2**20], binary_data_size=2**20)), bytes(2**20)),
}


@pytest.mark.parametrize(("request_document", "tail"), BAD_TAILS.values(), ids=BAD_TAILS.keys())
def test_a_tail_that_does_not_fit_is_refused(request_document: dict[str, Any], tail: bytes) -> None:
    with pytest.raises(MalformedPayload):
        decode(request_document, tail)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=["bytes", "bytearray", "memoryview"])
def test_binary_inputs_follow_each_other_in_order_and_mix_with_json(kind: Any) -> None:
    head = orjson.dumps(
        document(
            tensor(name="a", binary_data_size=8),
            tensor([5, 6], name="b", datatype="INT8"),
            tensor(name="c", datatype="BOOL", binary_data_size=2),
        )
    )
    request = decode_infer_request(
        kind(head + PAIR + b"\x01\x00"), len(head), model_name="m", model_version=2, limits=LIMITS
    )
    assert {name: array.tolist() for name, array in request.inputs.items()} == {
        "a": [1.0, 2.0],
        "b": [5, 6],
        "c": [True, False],
    }
    assert request.byte_size == len(head) + 10
    assert request.model_version == 2


def test_a_header_length_of_the_whole_body_is_json_alone() -> None:
    assert decode(document(), b"").inputs["x"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "value",
    ["99999999999", "-1", "abc", "", "1e3", "+5", " 5", "1_0", "٣", "9" * 5000, "11"],
    ids=[
        "A15-huge",
        "A15-negative",
        "A15-word",
        "A15-empty",
        "A15-exponent",
        "A15-plus",
        "A15-blank",
        "A15-underscore",
        "A15-arabic-digit",
        "A15-5000-digits",
        "A16-beyond-the-body",
    ],
)
def test_a_header_length_that_is_no_length_of_the_body_is_refused(value: str) -> None:
    with pytest.raises(MalformedPayload, match="Inference-Header-Content-Length"):
        parse_header_length(value, 10)


def test_a_header_length_may_be_all_of_the_body_or_nothing() -> None:
    assert parse_header_length("10", 10) == 10
    assert parse_header_length("0", 10) == 0


def test_a_header_length_that_splits_the_json_is_refused() -> None:
    # A17
    for split in range(len(VALID)):
        with pytest.raises(MalformedPayload):
            decode_infer_request(VALID, split, model_name="m", model_version=None, limits=LIMITS)


# Raw binary requests.


def test_a_raw_request_is_one_row_of_the_only_input() -> None:
    request = decode_raw_request(PAIR, spec(TensorSpec("x", Datatype.FP32, (2,)), max_batch_size=8))
    assert request.inputs["x"].tolist() == [[1.0, 2.0]]
    assert request.binary_by_default


def test_a_raw_request_computes_the_one_free_dimension() -> None:
    request = decode_raw_request(bytes(48), spec(TensorSpec("x", Datatype.FP32, (-1, 3))), model_version=7)
    assert request.inputs["x"].shape == (4, 3)
    assert request.model_version == 7


@pytest.mark.parametrize("shape", [(), (1,), (-1,)], ids=["scalar", "one", "free"])
def test_a_raw_request_is_the_one_element_of_a_text_input(shape: tuple[int, ...]) -> None:
    request = decode_raw_request("häuser".encode(), spec(TensorSpec("t", Datatype.BYTES, shape)))
    assert request.inputs["t"].reshape(-1).tolist() == ["häuser"]
    assert request.inputs["t"].ndim == len(shape)


FP32 = Datatype.FP32
BAD_RAW: dict[str, tuple[tuple[TensorSpec, ...], bytes, type[ServerError]]] = {
    "D8-two-inputs": ((TensorSpec("a", FP32, (2,)), TensorSpec("b", FP32, (2,))), PAIR, TensorMismatch),
    "D8-two-free-dims": ((TensorSpec("a", FP32, (-1, -1)),), PAIR, TensorMismatch),
    "D8-text-of-two-elements": ((TensorSpec("a", Datatype.BYTES, (2,)),), PAIR, TensorMismatch),
    "D8-text-not-utf-8": ((TensorSpec("a", Datatype.BYTES, (1,)),), b"\xff", MalformedPayload),
    "D8-wrong-size": ((TensorSpec("a", FP32, (3,)),), PAIR, MalformedPayload),
    "D8-not-a-whole-row": ((TensorSpec("a", FP32, (-1, 3)),), PAIR, MalformedPayload),
    "D8-free-beside-zero": ((TensorSpec("a", FP32, (-1, 0)),), PAIR, MalformedPayload),
    "A17-json-with-length-0": ((TensorSpec("a", FP32, (2,)),), VALID, MalformedPayload),
}


@pytest.mark.parametrize(("inputs", "body", "error"), BAD_RAW.values(), ids=BAD_RAW.keys())
def test_a_raw_request_that_the_model_cannot_take_is_refused(
    inputs: tuple[TensorSpec, ...], body: bytes, error: type[ServerError]
) -> None:
    assert issubclass(error, InvalidRequest)
    with pytest.raises(error):
        decode_raw_request(body, spec(*inputs))
