"""decode(encode(x)) == x on every wire, and nothing but refusals for bytes that mean nothing."""

from typing import Any

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import orjson
import pytest
from hypothesis import given, settings

from onnxd.errors import InvalidRequest, ServerError
from onnxd.messages import InferRequest, InferResponse
from onnxd.protocol.binary import decode_tensor, encode_tensor, string_array
from onnxd.protocol.compression import decompress
from onnxd.protocol.json_request import decode_infer_request
from onnxd.protocol.json_response import encode_infer_response
from onnxd.protocol.limits import ProtocolLimits
from onnxd.tensors import Array, Datatype
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.proto import decode_message, encode_message

LIMITS = ProtocolLimits()
FEW = settings(max_examples=40, derandomize=True, deadline=None, database=None)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
TEXT = st.text('aZé文😀\0\n\x7f":\\{[, ', max_size=8)
BY_NAME = {datatype.value: datatype for datatype in Datatype}


@st.composite
def arrays(draw: st.DrawFn, datatype: Datatype) -> Array:
    """Any bits at all for numbers: every NaN and every denormal has to survive too."""
    shape = draw(SHAPES)
    count = int(np.prod(shape, dtype=np.int64))
    if datatype is Datatype.BYTES:
        return string_array(draw(st.lists(TEXT, min_size=count, max_size=count))).reshape(shape)
    size = count * datatype.dtype.itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    if datatype is Datatype.BOOL:
        data = bytes(byte & 1 for byte in data)
    return np.frombuffer(data, datatype.dtype).reshape(shape)


def assert_same(got: Array, sent: Array) -> None:
    assert (got.dtype, got.shape) == (sent.dtype, sent.shape)
    assert bytes(encode_tensor(got)) == bytes(encode_tensor(sent))


@pytest.mark.parametrize("datatype", Datatype, ids=lambda datatype: datatype.value)
def test_raw_bytes_keep_every_bit(datatype: Datatype) -> None:
    @FEW
    @given(arrays(datatype))
    def check(array: Array) -> None:
        assert_same(decode_tensor("x", datatype, array.shape, encode_tensor(array)), array)

    check()


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("datatype", Datatype, ids=lambda datatype: datatype.value)
def test_an_http_answer_sent_back_as_a_request_is_the_same_tensor(datatype: Datatype, binary: bool) -> None:
    if not binary and datatype in (Datatype.FP16, Datatype.BF16):
        binary = True  # they have no form in JSON

    @FEW
    @given(arrays(datatype), arrays(Datatype.INT8))
    def check(array: Array, other: Array) -> None:
        if not binary and datatype.is_float:
            array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)  # JSON has one NaN
        answer = encode_infer_response(
            InferRequest("m", {}, binary_by_default=binary),
            InferResponse("m", 1, "i", {"x": array, "z": other}),
        )
        body = b"".join(answer.parts)
        request = body.replace(b'"outputs":', b'"inputs":', 1)
        # The key's length differs, and the header's with it.
        length = None if answer.json_length is None else answer.json_length - 1
        got = decode_infer_request(request, length, model_name="m", model_version=None, limits=LIMITS)
        assert_same(got.inputs["x"], array)
        assert_same(got.inputs["z"], other)
        assert got.id == "i"

    check()


@pytest.mark.parametrize("datatype", Datatype, ids=lambda datatype: datatype.value)
def test_a_grpc_answer_sent_back_as_a_request_is_the_same_tensor(datatype: Datatype) -> None:
    @FEW
    @given(arrays(datatype))
    def check(array: Array) -> None:
        # The two messages differ in numbers of fields only; what a tensor is made of is the same.
        answer = pb.ModelInferResponse.FromString(encode_message(InferResponse("m", 1, "i", {"x": array})))
        output = answer.outputs[0]
        request = pb.ModelInferRequest(model_name="m", raw_input_contents=answer.raw_output_contents)
        request.inputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        assert_same(decode_message(request).inputs["x"], array)

    check()


@FEW
@given(st.binary(max_size=64), st.none() | st.integers(0, 64))
def test_random_bytes_are_an_invalid_request(body: bytes, length: int | None) -> None:
    with pytest.raises(InvalidRequest):
        decode_infer_request(body, length, model_name="m", model_version=None, limits=LIMITS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "shape", "datatype", "data", "parameters", "binary_data_size"]) | TEXT,
            inner,
        )
    ),
    max_leaves=12,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("x") | JSON,
        "shape": st.lists(st.integers(0, 3), max_size=2) | JSON,
        "datatype": st.sampled_from(list(BY_NAME)) | JSON,
        "data": st.lists(JSON, max_size=4) | JSON,
        "parameters": JSON,
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {"inputs": st.lists(ENTRIES, max_size=2) | JSON},
    optional={"outputs": st.lists(ENTRIES, max_size=2) | JSON, "parameters": JSON, "id": JSON},
)


@settings(FEW, max_examples=100)
@given(DOCUMENTS, st.binary(max_size=16))
def test_any_json_is_decoded_or_refused(document: dict[str, Any], tail: bytes) -> None:
    text = orjson.dumps(document)
    refusal: ServerError | None = None
    try:
        decode_infer_request(text + tail, len(text), model_name="m", model_version=None, limits=LIMITS)
    except InvalidRequest as error:
        refusal = error
    assert refusal is None or refusal.message.isprintable()


@FEW
@given(st.binary(max_size=64), SHAPES, st.sampled_from(Datatype))
def test_random_bytes_are_a_tensor_or_an_invalid_request(
    data: bytes, shape: tuple[int, ...], datatype: Datatype
) -> None:
    try:
        array = decode_tensor("x", datatype, shape, data)
    except InvalidRequest:
        return
    assert bytes(encode_tensor(array)) == data


@FEW
@given(st.binary(max_size=64))
def test_random_bytes_are_not_compressed_data(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decompress(data, 1024)


@FEW
@given(st.binary(max_size=128))
def test_a_random_message_is_decoded_or_refused(data: bytes) -> None:
    message = pb.ModelInferRequest(model_name="m")
    message.inputs.add(name="x", datatype="BYTES", shape=[1])
    message.raw_input_contents.append(data)
    refusal: ServerError | None = None
    try:
        decode_message(message)
    except InvalidRequest as error:
        refusal = error
    assert refusal is None or refusal.message.isprintable()
