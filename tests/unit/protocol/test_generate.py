"""The flat object of the generate extension, both ways, without a server."""

import json
import math
from typing import Any

import numpy as np
import orjson
import pytest

from onnxd.errors import InvalidRequest, MalformedPayload, PayloadTooLarge, TensorMismatch
from onnxd.messages import InferRequest, InferResponse
from onnxd.protocol.binary import string_array
from onnxd.protocol.generate import (
    decode_generate_request,
    encode_error_event,
    encode_event,
    encode_generate_response,
)
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.validation import validate
from onnxd.tensors import Array, Datatype, ModelSpec, TensorSpec
from tests.unit.protocol.builders import LIMITS, spec


def tensor(name: str, *shape: int, datatype: Datatype = Datatype.FP32, optional: bool = False) -> TensorSpec:
    return TensorSpec(name, datatype, shape, optional)


TEXT = spec(tensor("text", 1, datatype=Datatype.BYTES), max_batch_size=4)


def decode(
    document: Any, model: ModelSpec, *, version: int | None = None, limits: ProtocolLimits = LIMITS
) -> InferRequest:
    text = document if isinstance(document, bytes) else orjson.dumps(document)
    return decode_generate_request(text, model, model_version=version, limits=limits)


def encode(**outputs: Array) -> Any:
    return json.loads(encode_generate_response(InferResponse("m", 3, "", outputs)))


def test_a_key_that_is_an_input_is_its_tensor_and_others_are_parameters() -> None:
    request = decode(
        {"id": "7", "text": "hello", "temperature": 0.5, "stream": True, "stop": "\n", "n": 3},
        TEXT,
        version=2,
    )
    assert (request.model_name, request.model_version, request.id) == ("m", 2, "7")
    assert list(request.inputs) == ["text"]
    assert request.inputs["text"].tolist() == [["hello"]]
    assert request.parameters == {"temperature": 0.5, "stream": True, "stop": "\n", "n": 3}
    assert request.outputs == ()
    assert not request.binary_by_default
    assert validate(request, TEXT) == 1


def test_members_of_parameters_count_as_if_they_stood_beside_it() -> None:
    request = decode({"parameters": {"text": "hello", "timeout": 2000, "top_k": 5}, "priority": 1}, TEXT)
    assert request.inputs["text"].tolist() == [["hello"]]
    assert request.parameters == {"top_k": 5}
    assert (request.priority, request.queue_timeout_s) == (1, 0.002)


@pytest.mark.parametrize(
    ("shape", "rows", "count", "expected"),
    [
        ((), 0, 1, ()),
        ((4,), 0, 4, (4,)),
        ((2, 3), 0, 6, (2, 3)),
        ((-1,), 0, 5, (5,)),
        ((-1,), 0, 0, (0,)),
        ((-1, 3), 0, 6, (2, 3)),
        ((2, -1), 0, 6, (2, 3)),
        ((-1, -1), 0, 6, (1, 6)),
        ((-1, 2, -1), 0, 6, (1, 2, 3)),
        ((0, -1), 0, 0, (0, 1)),
        ((), 8, 3, (3,)),
        ((4,), 8, 4, (1, 4)),
        ((4,), 8, 8, (2, 4)),
        ((-1,), 8, 5, (1, 5)),
        ((-1, 2), 8, 6, (1, 3, 2)),
    ],
)
def test_the_shape_follows_from_the_models(
    shape: tuple[int, ...], rows: int, count: int, expected: tuple[int, ...]
) -> None:
    model = spec(tensor("x", *shape), max_batch_size=rows)
    request = decode({"x": [float(number) for number in range(count)]}, model)
    assert request.inputs["x"].shape == expected
    assert request.inputs["x"].reshape(-1).tolist() == list(range(count))


@pytest.mark.parametrize(
    ("shape", "rows", "count"),
    [((4,), 0, 3), ((4,), 0, 8), ((), 0, 2), ((), 0, 0), ((-1, 3), 0, 4), ((4,), 8, 5), ((0,), 0, 1)],
)
def test_a_count_that_makes_no_such_shape_is_refused(shape: tuple[int, ...], rows: int, count: int) -> None:
    model = spec(tensor("x", *shape), max_batch_size=rows)
    with pytest.raises(TensorMismatch, match=rf"'x': {count} elements do not make"):
        decode({"x": [0.0] * count}, model)


def test_a_scalar_is_a_single_element() -> None:
    model = spec(
        tensor("x", 1), tensor("flag", datatype=Datatype.BOOL), tensor("n", -1, datatype=Datatype.INT64)
    )
    request = decode({"x": 1, "flag": True, "n": -5}, model)
    assert [(array.shape, array.tolist()) for array in request.inputs.values()] == [
        ((1,), [1.0]), ((), True), ((1,), [-5]),
    ]  # fmt: skip


def test_not_a_number_and_infinities_are_numbers() -> None:
    model = spec(tensor("x", -1))
    values = decode(b'{"x":[NaN,Infinity,-Infinity,0]}', model).inputs["x"].tolist()
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, 0.0]
    assert math.isnan(decode(b'{"x":NaN}', model).inputs["x"].item())


@pytest.mark.parametrize("kind", [kind for kind in Datatype if kind not in (Datatype.FP16, Datatype.BF16)])
def test_each_datatype_comes_back_as_it_was_sent(kind: Datatype) -> None:
    model = spec(tensor("x", -1, datatype=kind))
    for sent in (_some(kind)[0], _some(kind)):
        array = decode({"x": sent}, model).inputs["x"]
        assert array.dtype == kind.dtype
        assert encode(x=array)["x"] == sent


def _some(kind: Datatype) -> list[Any]:
    if kind is Datatype.BOOL:
        return [True, False]
    if kind is Datatype.BYTES:
        return ['"quoted"\n\\ \x00 ü', ""]
    if kind.is_integer:
        return [int(np.iinfo(kind.dtype).max), int(np.iinfo(kind.dtype).min)]
    return [0.1, -1e30]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "JSON"),
        (b"[]", "JSON object"),
        (b"nonsense", "JSON"),
        (b'{"text":"a","text":"b"}', "twice"),
        (b'{"text":"a","parameters":{"text":"b"}}', "'text' is given both"),
        (b'{"text":"a","k":1,"parameters":{"k":2}}', "'k' is given both"),
        (b'{"text":"a","parameters":[]}', "'parameters' to be an object"),
        (b'{"text":"a","parameters":null}', "'parameters' to be an object"),
        (b'{"text":"a","parameters":{"parameters":{}}}', "parameter 'parameters'"),
        (b'{"text":"a","k":null}', "parameter 'k'"),
        (b'{"text":"a","k":[1]}', "parameter 'k'"),
        (b'{"text":"a","k":{}}', "parameter 'k'"),
        (b'{"text":"a","triton_k":1}', "reserved"),
        (b'{"text":"a","timeout":-1}', "'timeout'"),
        (b'{"text":"a","id":7}', "'id'"),
        (b'{"text":"a","id":"a\\nb"}', "'id'"),
        (b'{"text":1}', "'text'"),
        (b'{"text":null}', "'text': expected a single BYTES"),
        (b'{"text":{}}', "'text': expected a single BYTES"),
        (b'{"text":[["a"]]}', "flat array"),
        (b'{"text":["a",["b"]]}', "'text'"),
        (b'{"text":"\\ud800"}', "JSON"),
    ],
)
def test_what_is_not_of_the_form_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        decode(text, TEXT)


def test_an_input_that_is_left_out_is_named() -> None:
    with pytest.raises(TensorMismatch, match=r"missing input.*'text'"):
        validate(decode({"prompt": "hello"}, TEXT), TEXT)
    model = spec(tensor("x", 1), tensor("bias", 1, optional=True))
    assert validate(decode({"x": 1}, model), model) == 1


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (spec(tensor("parameters", 1)), "input 'parameters'"),
        (spec(outputs=(tensor("id", 1),)), "output 'id'"),
        (spec(outputs=(tensor("model_name", 1),)), "output 'model_name'"),
        (spec(outputs=(tensor("model_version", 1),)), "output 'model_version'"),
        (spec(tensor("x", 1, datatype=Datatype.FP16)), "input 'x' is FP16"),
        (spec(tensor("x", 1, datatype=Datatype.BF16)), "input 'x' is BF16"),
        (spec(outputs=(tensor("y", 1, datatype=Datatype.BF16),)), "output 'y' is BF16"),
    ],
)
def test_a_model_without_such_a_form_is_refused_with_the_way_to_ask_it(model: ModelSpec, words: str) -> None:
    with pytest.raises(TensorMismatch, match=words) as raised:
        decode({"x": 1}, model)
    assert "POST /v2/models/m/infer" in raised.value.message


def test_an_input_called_id_is_a_tensor_and_not_the_requests_id() -> None:
    model = spec(tensor("id", 1, datatype=Datatype.INT64))
    request = decode({"id": 7}, model)
    assert (request.id, request.inputs["id"].tolist()) == ("", [7])


def test_limits_hold_here_too() -> None:
    limits = ProtocolLimits(max_json_bytes=30, max_parameters=1, max_bytes_elements=2)
    with pytest.raises(PayloadTooLarge):
        decode({"text": "a" * 20 + "more"}, TEXT, limits=limits)
    with pytest.raises(MalformedPayload, match="at most 1 parameters"):
        decode({"a": 1, "b": 1}, TEXT, limits=limits)
    decode({"text": ["a"] * 2}, TEXT, limits=limits)
    with pytest.raises(MalformedPayload, match="at most 2 BYTES"):
        decode({"text": ["a"] * 3}, TEXT, limits=limits)
    deep = b'{"text":"a","k":' + b"[" * 200 + b"]" * 200 + b"}"
    with pytest.raises(MalformedPayload, match="deeper"):
        decode(deep, TEXT)


def test_one_element_is_answered_as_itself_and_more_or_none_as_a_flat_array() -> None:
    assert encode(
        scalar=np.array(1.5), one=np.array([[2]]), text=string_array(["a,b"]).reshape(1, 1),
        more=np.arange(4).reshape(2, 2), none=np.zeros((0, 3)), words=string_array(["a", "b"]),
    ) == {
        "model_name": "m", "model_version": "3",
        "scalar": 1.5, "one": 2, "text": "a,b", "more": [0, 1, 2, 3], "none": [], "words": ["a", "b"],
    }  # fmt: skip


def test_the_id_is_answered_when_there_is_one() -> None:
    assert json.loads(encode_generate_response(InferResponse("m", 1, "7", {})))["id"] == "7"
    assert "id" not in encode()


def test_values_that_json_lacks_are_the_tokens_of_the_inference_endpoint() -> None:
    response = InferResponse(
        "m", 1, "", {"nan": np.array([np.nan], np.float32), "all": np.array([np.inf, 1, -np.inf])}
    )
    assert encode_generate_response(response).endswith(b'"nan":NaN,"all":[Infinity,1.0,-Infinity]}')


def test_an_event_is_one_line_whatever_is_in_it() -> None:
    response = InferResponse("m", 1, "", {"y": string_array(["a\n\ndata: forged\r"])})
    event = encode_event(encode_generate_response(response))
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 2
    assert b"\r" not in event
    assert encode_error_event("a\nb") == b'data: {"error":"a\\nb"}\n\n'
