"""Answers over HTTP, as the clients read them."""

import json
from typing import Any

import ml_dtypes
import numpy as np
import orjson
import pytest

from onnxd.errors import TensorMismatch
from onnxd.messages import InferRequest, InferResponse, RequestedOutput
from onnxd.protocol.binary import string_array
from onnxd.protocol.json_response import EncodedResponse, encode_error, encode_infer_response
from onnxd.tensors import Array


def encode(
    outputs: dict[str, Array],
    *requested: RequestedOutput,
    binary_by_default: bool = False,
    request_id: str = "",
) -> EncodedResponse:
    request = InferRequest("m", {}, outputs=requested, binary_by_default=binary_by_default)
    return encode_infer_response(request, InferResponse("m", 3, request_id, outputs))


def body(encoded: EncodedResponse) -> bytes:
    return b"".join(encoded.parts)


ONES = np.ones((1, 2), np.float32)


def test_json_has_tritons_keys_in_tritons_order() -> None:
    encoded = encode({"y": ONES}, request_id="7")
    assert body(encoded) == (
        b'{"id":"7","model_name":"m","model_version":"3",'
        b'"outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[1.0,1.0]}]}'
    )
    assert (encoded.json_length, encoded.content_type) == (None, "application/json")


def test_an_empty_id_is_left_out() -> None:
    assert "id" not in orjson.loads(body(encode({"y": ONES})))


def test_binary_outputs_follow_the_json_in_its_order() -> None:
    encoded = encode({"b": ONES, "a": np.array([True])}, binary_by_default=True)
    head, tail = body(encoded)[: encoded.json_length], body(encoded)[encoded.json_length :]
    assert orjson.loads(head)["outputs"] == [
        {"name": "b", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
        {"name": "a", "datatype": "BOOL", "shape": [1], "parameters": {"binary_data_size": 1}},
    ]
    assert tail == ONES.tobytes() + b"\x01"
    assert encoded.content_type == "application/octet-stream"
    assert encoded.content_length == len(body(encoded))


def test_an_outputs_own_wish_beats_the_requests() -> None:
    outputs = {"a": ONES, "b": ONES, "c": ONES}
    requested = (RequestedOutput("a", True), RequestedOutput("b", False), RequestedOutput("c"))
    for default in (True, False):
        encoded = encode(outputs, *requested, binary_by_default=default)
        document = orjson.loads(body(encoded)[: encoded.json_length])
        assert ["data" in output for output in document["outputs"]] == [False, True, not default]


def test_the_answer_is_plain_json_when_all_binary_outputs_are_empty() -> None:
    encoded = encode({"y": np.zeros((0, 3), np.int8)}, binary_by_default=True)
    assert (encoded.json_length, encoded.content_type) == (None, "application/json")
    assert orjson.loads(body(encoded))["outputs"][0]["parameters"] == {"binary_data_size": 0}


def test_floats_that_json_lacks_are_written_as_their_tokens() -> None:
    values = np.array([np.nan, 0.1, np.inf, -np.inf, -0.0], np.float32)
    assert b'"data":[NaN,0.1,Infinity,-Infinity,-0.0]' in body(encode({"y": values}))
    assert b'"data":[NaN]' in body(encode({"y": values[:1].astype(np.float64)}))


@pytest.mark.parametrize(
    ("array", "data"),
    [
        (np.array([0.1], np.float32), b"[0.1]"),
        (np.array(2.5, np.float64), b"[2.5]"),
        (np.array([[1, 2], [3, 4]], np.int8).T, b"[1,3,2,4]"),
        (np.array([2**64 - 1], np.uint64), b"[18446744073709551615]"),
        (np.array([True, False]), b"[true,false]"),
        (np.zeros((2, 0), np.int32), b"[]"),
        (string_array(["a\x00\n", "é"]), '["a\\u0000\\n","é"]'.encode()),
    ],
    ids=["shortest-float32", "scalar", "transposed", "uint64", "bool", "empty", "text"],
)
def test_data_is_flat_and_exact(array: Array, data: bytes) -> None:
    assert b'"data":' + data + b"}" in body(encode({"y": array}))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(200_000, dtype=np.int64).reshape(2, -1),
        np.linspace(0, 1, 200_000, dtype=np.float32),
        np.where(np.arange(140_000) % 7, 1.5, np.nan),
        string_array(["a", 'b"'] * 70_000),
    ],
    ids=["integers", "floats", "with NaN", "text"],
)
def test_a_large_array_is_written_as_a_small_one_would_be(array: Array) -> None:
    flat = array.reshape(-1)
    document = json.loads(body(encode({"y": array})))
    expected = flat.tolist() if array.dtype == object else flat
    assert np.array_equal(
        np.array(document["outputs"][0]["data"], array.dtype), expected, equal_nan=array.dtype.kind == "f"
    )


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=["D7-FP16", "D7-BF16"])
def test_half_floats_are_answered_as_bytes_only(dtype: Any) -> None:
    half = np.ones(2, dtype)
    assert encode({"y": half}, binary_by_default=True).parts[1] == half.tobytes()
    with pytest.raises(TensorMismatch, match="ask for binary data"):
        encode({"y": half})


def test_an_error_is_an_object_with_one_text() -> None:
    assert encode_error('no "x"\n') == b'{"error":"no \\"x\\"\\n"}'
    assert orjson.loads(encode_error("\udcff")) == {"error": "?"}
