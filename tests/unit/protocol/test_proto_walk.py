"""The walk through a request's fields against protobuf's own parser: the same is taken, to the same effect,
and the same is refused."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings

from onnxd.errors import ServerError
from onnxd.messages import InferRequest
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.proto_decoder import InferDecoder
from onnxd.protocol.proto_request import decode_infer_request
from onnxd.protocol.proto_split import split
from onnxd.tensors import Array, Datatype
from onnxd_protos import grpc_service_pb2 as pb

LIMITS = ProtocolLimits(max_id_bytes=20)
NOT_A_MESSAGE = "the bytes sent are not a inference.ModelInferRequest message"

short = st.text(max_size=4)
parameters = st.dictionaries(
    st.sampled_from(["priority", "timeout", "sequence_id", "own", "triton_x"]),
    st.one_of(
        st.builds(pb.InferParameter, bool_param=st.booleans()),
        st.builds(pb.InferParameter, int64_param=st.integers(-1, 9)),
        st.builds(pb.InferParameter, string_param=short),
    ),
    max_size=2,
)
tensors = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=st.sampled_from(["x", "y", "z"]),
    datatype=st.sampled_from(["FP32", "BYTES", "BOOL", "INT64", "NONE"]),
    shape=st.lists(st.integers(0, 2), max_size=2),
)
shared = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=st.sampled_from(["x", "y"]),
    datatype=st.just("FP32"),
    shape=st.just([2]),
    parameters=st.just(
        {
            "shared_memory_region": pb.InferParameter(string_param="r"),
            "shared_memory_byte_size": pb.InferParameter(int64_param=8),
        }
    ),
)
typed = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=st.sampled_from(["x", "y"]),
    datatype=st.just("FP32"),
    shape=st.just([2]),
    contents=st.builds(pb.InferTensorContents, fp32_contents=st.lists(st.just(0.5), min_size=2, max_size=2)),
)
requests = st.builds(
    pb.ModelInferRequest,
    model_name=st.sampled_from(["m", "other"]),
    model_version=st.sampled_from(["", "3", "x"]),
    id=st.one_of(short, st.just("i" * 21)),
    parameters=parameters,
    inputs=st.lists(st.one_of(tensors, tensors, typed, shared), max_size=3),
    outputs=st.lists(st.builds(pb.ModelInferRequest.InferRequestedOutputTensor, name=short), max_size=2),
    raw_input_contents=st.lists(
        st.sampled_from([b"", bytes(4), bytes(8), bytes(16), b"\x01\0\0\0a"]), max_size=3
    ),
)


@st.composite
def bytes_of_requests(draw: st.DrawFn) -> bytes:
    """A request as it is, with its fields in another order, or with bytes of it changed, added and gone."""
    data = bytearray(draw(requests).SerializeToString())
    if draw(st.booleans()):
        other = draw(requests).SerializeToString()
        data = bytearray(other) + data if draw(st.booleans()) else data + other
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["set", "insert", "cut", "remove"])):
            case "set" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case "insert":
                data[at:at] = draw(st.binary(max_size=4))
            case "cut":
                del data[at:]
            case _:
                del data[at : at + 1]
    return bytes(data)


def by_protobuf(data: bytes) -> InferRequest:
    try:
        message = pb.ModelInferRequest.FromString(data)
    except DecodeError:
        raise ServerError(NOT_A_MESSAGE) from None
    return decode_infer_request(message, message.raw_input_contents, message.id, LIMITS)


def outcome(decode: Any, data: bytes | memoryview) -> Any:
    """What a request says, or why it is refused."""
    try:
        request = decode(data)
    except ServerError as error:
        return error.message
    inputs = [(name, array.dtype, array.tolist()) for name, array in request.inputs.items()]
    return (
        request.model_name, request.model_version, request.id, inputs, request.outputs, request.parameters,
        request.priority, request.queue_timeout_s, request.byte_size, request.shared_inputs,
        request.binary_by_default,
    )  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(bytes_of_requests())
@example(b"\x0a\x81\x00m")  # a length in more bytes than it needs
@example(b"\x3a\x80\x80\x80\x80\x00")  # in more than any
@example(b"\x0a\x01m\x3b\x3c")  # a group
@example(b"\x1a\x01\xff")  # an id that is not UTF-8
@example(b"\x1a\x03\xed\xa0\x80")  # nor is half of a surrogate pair
@example(b"\x1a\x01a\x1a\x01b")  # two, of which the last counts
@example(b"\x0a\xff\xff\xff\xff\x0f")  # a length of 2**32 - 1
@example(b"\x3a")
def test_what_is_read_by_hand_is_what_protobuf_reads(data: bytes) -> None:
    expected = outcome(by_protobuf, data)
    decoder = InferDecoder(LIMITS)
    for given_as in (data, memoryview(data), data):  # the last time as one that is known

        def decode(received: bytes | memoryview) -> InferRequest:
            return decoder.open(received).decode(remember=True)

        assert outcome(decode, given_as) == expected


def request(number: int, array: Array, request_id: str = "") -> bytes:
    message = pb.ModelInferRequest(model_name="m", id=request_id or str(number))
    message.inputs.add(name="x", datatype="FP32", shape=array.shape)
    message.raw_input_contents.append(array.tobytes())
    return message.SerializeToString()


def test_a_request_like_one_before_is_read_by_its_form() -> None:
    decoder = InferDecoder(LIMITS)
    for number in range(3):
        array = np.full((1, 4), number, np.float32)
        opened = decoder.open(request(number, array))
        assert isinstance(opened.known, pb.ModelInferRequest) is (number == 0)
        decoded = opened.decode(remember=True)
        assert (decoded.id, decoded.inputs["x"].tolist()) == (str(number), array.tolist())


def test_each_of_them_is_checked_for_itself() -> None:
    decoder = InferDecoder(LIMITS)
    good = np.zeros((1, 4), np.float32)
    decoder.open(request(0, good)).decode(remember=True)
    with pytest.raises(ServerError, match="at most 20 bytes"):
        decoder.open(request(0, good, "i" * 21)).decode(remember=True)
    short_of_it = request(0, good)[:-1].replace(b"\x3a\x10", b"\x3a\x0f")
    with pytest.raises(ServerError, match="expected 16 bytes"):
        decoder.open(short_of_it).decode(remember=True)
    with pytest.raises(ServerError, match="no data"):
        decoder.open(request(0, good)[:-18]).decode(remember=True)


def test_what_is_remembered_has_a_bound_and_holds_no_tensor() -> None:
    decoder = InferDecoder(LIMITS)
    for number in range(1000):
        message = pb.ModelInferRequest(model_name=f"m{number}")
        message.inputs.add(name="x", datatype="UINT8", shape=[5000])
        message.raw_input_contents.append(bytes(5000))
        decoder.open(message.SerializeToString()).decode(remember=True)
    assert len(decoder._forms) == 512
    assert all(not form.like.inputs for form in decoder._forms.values())


def test_large_tensors_are_views_over_what_came() -> None:
    data = memoryview(request(1, np.zeros((1, 100_000), np.float32)))
    parts = split(data)
    assert parts is not None
    [raw] = parts.raw
    assert isinstance(raw, memoryview)
    assert raw.obj is data.obj
    of_bytes = split(data.tobytes())
    assert of_bytes is not None
    assert isinstance(of_bytes.raw[0], memoryview)
    assert Datatype.FP32.value.encode() in parts.rest
