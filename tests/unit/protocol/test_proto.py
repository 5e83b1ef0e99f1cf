"""Requests and answers over gRPC."""

import struct
from typing import Any

import numpy as np
import pytest

from onnxd.errors import InvalidName, MalformedPayload, PayloadTooLarge, ServerError
from onnxd.messages import InferResponse, RequestedOutput
from onnxd.protocol.binary import encode_tensor, string_array
from onnxd.protocol.proto_response import encode_infer_response
from onnxd.tensors import datatype_of
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.proto import decode_message, encode_message

PAIR = struct.pack("<2f", 1, 2)


def tensor(
    name: str = "x", datatype: str = "FP32", shape: tuple[int, ...] = (2,), **contents: Any
) -> pb.ModelInferRequest.InferInputTensor:
    filled = pb.InferTensorContents(**contents) if contents else None
    return pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape, contents=filled)


def message(
    *inputs: pb.ModelInferRequest.InferInputTensor, raw: tuple[bytes, ...] = (), **fields: Any
) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(**{"model_name": "m", "inputs": inputs, "raw_input_contents": raw, **fields})


def parameters(**values: dict[str, Any]) -> dict[str, pb.InferParameter]:
    return {key: pb.InferParameter(**value) for key, value in values.items()}


def output(name: str = "y", **values: dict[str, Any]) -> pb.ModelInferRequest.InferRequestedOutputTensor:
    return pb.ModelInferRequest.InferRequestedOutputTensor(name=name, parameters=parameters(**values))


def with_parameters(**values: dict[str, Any]) -> pb.ModelInferRequest:
    return message(tensor(), raw=(PAIR,), parameters=parameters(**values))


def with_outputs(*outputs: pb.ModelInferRequest.InferRequestedOutputTensor) -> pb.ModelInferRequest:
    return message(tensor(), raw=(PAIR,), outputs=outputs)


BAD: dict[str, tuple[pb.ModelInferRequest, type[ServerError]]] = {
    "B1-dot-dot": (message(tensor(), raw=(PAIR,), model_name=".."), InvalidName),
    "B3-empty-name": (message(tensor(), raw=(PAIR,), model_name=""), InvalidName),
    "B6-word-as-version": (message(tensor(), raw=(PAIR,), model_version="x"), InvalidName),
    "B6-minus-1": (message(tensor(), raw=(PAIR,), model_version="-1"), InvalidName),
    "C4-300-in-INT8": (message(tensor(datatype="INT8", int_contents=[1, 300])), MalformedPayload),
    "C8-minus-1-in-UINT16": (message(tensor(datatype="UINT16", uint_contents=[1, 2**16])), MalformedPayload),
    "C11-id-with-newline": (message(tensor(), raw=(PAIR,), id="a\nb"), MalformedPayload),
    "C11-1-MB-id": (message(tensor(), raw=(PAIR,), id="x" * 2**20), MalformedPayload),
    "C12-reserved-prefix": (with_parameters(triton_x={"int64_param": 1}), MalformedPayload),
    "C12-allowed-key-of-another-type": (
        with_parameters(triton_enable_empty_final_response={"int64_param": 1}),
        MalformedPayload,
    ),
    "C12-parameter-without-value": (with_parameters(a={}), MalformedPayload),
    "C12-10000-parameters": (
        with_parameters(**{f"k{i}": {"int64_param": i} for i in range(10_000)}),
        MalformedPayload,
    ),
    "C12-negative-priority": (with_parameters(priority={"int64_param": -1}), MalformedPayload),
    "C12-text-as-timeout": (with_parameters(timeout={"string_param": "1"}), MalformedPayload),
    "C13-output-twice": (with_outputs(output(), output()), MalformedPayload),
    "C13-100000-outputs": (with_outputs(*(output(f"y{i}") for i in range(100_000))), MalformedPayload),
    "C14-classification-0": (with_outputs(output(classification={"int64_param": 0})), MalformedPayload),
    "C14-classification-text": (with_outputs(output(classification={"string_param": "1"})), MalformedPayload),
    "D3-not-a-multiple-of-4": (message(tensor(), raw=(PAIR[:7],)), MalformedPayload),
    "D4-text-cut-short": (message(tensor(datatype="BYTES"), raw=(b"\x01\x00\x00\x00a",)), MalformedPayload),
    "D5-text-not-utf-8": (
        message(tensor(datatype="BYTES", bytes_contents=[b"a", b"\xff"])),
        MalformedPayload,
    ),
    "D6-BOOL-of-2": (message(tensor(datatype="BOOL"), raw=(b"\x01\x02",)), MalformedPayload),
    "D7-FP16-in-contents": (message(tensor(datatype="FP16", fp32_contents=[1, 2])), MalformedPayload),
    "E1-dim-minus-1": (message(tensor(shape=(-1,)), raw=(PAIR,)), MalformedPayload),
    "E2-2^33-squared": (message(tensor(shape=(2**33, 2**33)), raw=(b"",)), MalformedPayload),
    "E2-2^62+8": (message(tensor(shape=(2**62 + 8,)), raw=(bytes(32),)), MalformedPayload),
    "E3-65-dims": (message(tensor(shape=(1,) * 65), raw=(bytes(4),)), MalformedPayload),
    "E5-unknown-datatype": (message(tensor(datatype="FP33"), raw=(PAIR,)), MalformedPayload),
    "E5-no-datatype": (message(tensor(datatype=""), raw=(PAIR,)), MalformedPayload),
    "E6-input-twice": (message(tensor(), tensor(), raw=(PAIR, PAIR)), MalformedPayload),
    "E6-1025-inputs": (message(*(tensor(f"x{i}") for i in range(1025))), MalformedPayload),
    "G2-surplus-raw": (message(tensor(), raw=(PAIR, PAIR)), MalformedPayload),
    "G2-missing-raw": (message(tensor("a"), tensor("b"), raw=(PAIR,)), MalformedPayload),
    "G2-no-data": (message(tensor()), MalformedPayload),
    "G2-raw-and-contents": (message(tensor(fp32_contents=[1, 2]), raw=(PAIR,)), MalformedPayload),
    "G2-wrong-field": (message(tensor(int_contents=[1, 2])), MalformedPayload),
    "G2-two-fields": (message(tensor(fp32_contents=[1, 2], int_contents=[1])), MalformedPayload),
    "G2-too-few-elements": (message(tensor(fp32_contents=[1])), MalformedPayload),
}


@pytest.mark.parametrize(("wrong", "error"), BAD.values(), ids=BAD.keys())
def test_a_message_that_is_not_the_protocols_is_refused(
    wrong: pb.ModelInferRequest, error: type[ServerError]
) -> None:
    with pytest.raises(error) as caught:
        decode_message(wrong)
    assert caught.value.message.isprintable()


CONTENTS: dict[str, tuple[str, list[Any]]] = {
    "BOOL": ("bool_contents", [True, False]),
    "INT8": ("int_contents", [-128, 127]),
    "INT16": ("int_contents", [-(2**15), 2**15 - 1]),
    "INT32": ("int_contents", [-(2**31), 2**31 - 1]),
    "INT64": ("int64_contents", [-(2**63), 2**63 - 1]),
    "UINT8": ("uint_contents", [0, 255]),
    "UINT16": ("uint_contents", [0, 2**16 - 1]),
    "UINT32": ("uint_contents", [0, 2**32 - 1]),
    "UINT64": ("uint64_contents", [0, 2**64 - 1]),
    "FP32": ("fp32_contents", [0.5, float("-inf")]),
    "FP64": ("fp64_contents", [0.1, 1e300]),
}


@pytest.mark.parametrize(("datatype", "case"), CONTENTS.items(), ids=CONTENTS.keys())
def test_typed_contents_are_read_from_the_field_of_their_datatype(
    datatype: str, case: tuple[str, list[Any]]
) -> None:
    field, values = case
    entry = tensor(datatype=datatype, shape=(1, 2))
    getattr(entry.contents, field).extend(values)
    assert decode_message(message(entry)).inputs["x"].tolist() == [values]


def test_text_in_typed_contents_is_the_content_alone() -> None:
    entry = tensor(datatype="BYTES", bytes_contents=["é".encode(), b"a\x00"])
    assert decode_message(message(entry)).inputs["x"].tolist() == ["é", "a\x00"]


def test_an_empty_tensor_may_have_empty_contents() -> None:
    entry = tensor(shape=(0, 3))
    entry.contents.SetInParent()
    assert decode_message(message(entry)).inputs["x"].shape == (0, 3)


def test_a_whole_request_is_read() -> None:
    request = decode_message(
        message(
            tensor("a"),
            tensor("b", "INT8", ()),
            raw=(PAIR, b"\x05"),
            model_version="4",
            id="r1",
            outputs=[
                output("z", classification={"int64_param": 2}),
                output("y", binary_data={"bool_param": False}),
            ],
            parameters=parameters(
                priority={"uint64_param": 2},
                timeout={"int64_param": 1000},
                sequence_id={"int64_param": 9},
                triton_enable_empty_final_response={"bool_param": True},
                binary_data_output={"string_param": "just a parameter here"},
            ),
        )
    )
    assert (request.model_name, request.model_version, request.id) == ("m", 4, "r1")
    assert [array.tolist() for array in request.inputs.values()] == [[1.0, 2.0], 5]
    assert request.outputs == (RequestedOutput("z", None, 2), RequestedOutput("y"))
    assert (request.priority, request.queue_timeout_s, request.binary_by_default) == (2, 0.001, True)
    assert request.parameters == {
        "sequence_id": 9,
        "triton_enable_empty_final_response": True,
        "binary_data_output": "just a parameter here",
    }
    assert request.byte_size > len(PAIR)


def test_every_output_has_its_raw_entry_at_its_own_index() -> None:
    outputs = {
        "empty": np.zeros((0, 2), np.float32),
        "text": string_array(["ab"]),
        "scalar": np.array(3, np.int16),
    }
    answer = pb.ModelInferResponse.FromString(encode_message(InferResponse("m", 2, "r1", outputs)))
    assert [(o.name, o.datatype, tuple(o.shape)) for o in answer.outputs] == [
        ("empty", "FP32", (0, 2)),
        ("text", "BYTES", (1,)),
        ("scalar", "INT16", ()),
    ]
    assert list(answer.raw_output_contents) == [b"", b"\x02\x00\x00\x00ab", b"\x03\x00"]
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "2", "r1")
    assert not any(o.HasField("contents") for o in answer.outputs)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
def test_an_answer_is_the_bytes_that_protobuf_would_make(size: int) -> None:
    outputs = {"a": np.zeros(size, np.uint8), "b": string_array(["ab"]), "c": np.array(7, np.int64)}
    response = InferResponse("m", 2, "r1", outputs)
    message = pb.ModelInferResponse(model_name="m", model_version="2", id="r1")
    for name, array in outputs.items():
        message.outputs.add(name=name, datatype=datatype_of(array).value, shape=array.shape)
        message.raw_output_contents.append(bytes(encode_tensor(array)))
    assert encode_message(response) == message.SerializeToString()

    message.parameters["triton_final_response"].bool_param = True
    in_stream = pb.ModelStreamInferResponse.FromString(encode_message(response, in_stream=True))
    assert in_stream == pb.ModelStreamInferResponse(infer_response=message)


def test_an_answer_that_no_message_can_hold_is_refused_before_it_is_put_together() -> None:
    once = np.zeros(2**28, np.uint8)  # pages that nobody touches cost nothing
    outputs = {str(number): once for number in range(8)}
    with pytest.raises(PayloadTooLarge, match="2147483647"):
        encode_infer_response(InferResponse("m", 1, "", outputs))
