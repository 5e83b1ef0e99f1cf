"""Shared memory on the wire, without a region: where tensors lie, what is registered, what is answered."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pytest

from onnxd.errors import InvalidName, MalformedPayload, PermissionDenied, ServerError
from onnxd.messages import InferRequest, InferResponse, RequestedOutput, SharedInput, SharedPlace
from onnxd.protocol.documents import EXTENSIONS, extensions
from onnxd.protocol.json_response import encode_infer_response
from onnxd.protocol.shared_memory import check_region_name, object_name, read_registration
from onnxd.protocol.validation import validate
from onnxd.tensors import Array, Datatype, TensorSpec
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.proto import decode_message, encode_message
from tests.unit.protocol.builders import LIMITS, decode, document, spec, tensor

EIGHT: dict[str, Any] = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
PLACE = SharedPlace("r", 0, 8)
PAIR = b"\x00\x00\x80\x3f\x00\x00\x00\x40"
"""1.0 and 2.0 as FP32."""


def parameter(value: object) -> pb.InferParameter:
    if isinstance(value, str):
        return pb.InferParameter(string_param=value)
    if isinstance(value, bool):
        return pb.InferParameter(bool_param=value)
    return pb.InferParameter(int64_param=value) if isinstance(value, int) else pb.InferParameter()


def message(*inputs: dict[str, Any], outputs: Mapping[str, Mapping[str, object]] | None = None) -> Any:
    """The same request as document() makes."""
    built = pb.ModelInferRequest(model_name="m")
    for entry in inputs or (tensor(**EIGHT),):
        added = built.inputs.add(name=entry["name"], datatype=entry["datatype"], shape=entry["shape"])
        for key, value in entry.get("parameters", {}).items():
            added.parameters[key].CopyFrom(parameter(value))
    for name, parameters in (outputs or {}).items():
        wanted = built.outputs.add(name=name)
        for key, value in parameters.items():
            wanted.parameters[key].CopyFrom(parameter(value))
    return built


def over_http(
    *inputs: dict[str, Any], outputs: Mapping[str, Mapping[str, object]] | None = None
) -> InferRequest:
    more = {"outputs": [{"name": name, "parameters": each} for name, each in (outputs or {}).items()]}
    return decode(document(*(inputs or (tensor(**EIGHT),)), **more))


def over_grpc(
    *inputs: dict[str, Any], outputs: Mapping[str, Mapping[str, object]] | None = None
) -> InferRequest:
    return decode_message(message(*inputs, outputs=outputs))


both = pytest.mark.parametrize("read", [over_http, over_grpc], ids=["HTTP", "gRPC"])


@both
def test_an_input_is_left_where_it_lies(read: Any) -> None:
    request = read(tensor(shape=[2, 1], shared_memory_offset=16, **EIGHT))
    assert request.inputs == {}
    assert request.shared_inputs == {"x": SharedInput(Datatype.FP32, (2, 1), SharedPlace("r", 16, 8))}
    assert request.uses_shared_memory


@both
def test_an_output_names_its_place(read: Any) -> None:
    request = read(outputs={"y": EIGHT | {"shared_memory_offset": 2**62}, "z": {}})
    assert request.outputs == (
        RequestedOutput("y", None, 0, SharedPlace("r", 2**62, 8)),
        RequestedOutput("z"),
    )


def test_a_request_without_places_does_not_use_shared_memory() -> None:
    assert not decode(
        document(outputs=[{"name": "y", "parameters": {"binary_data": True}}])
    ).uses_shared_memory


def test_raw_entries_pass_over_inputs_in_shared_memory() -> None:
    built = message(tensor(name="a"), tensor(name="b", **EIGHT), tensor(name="c"))
    built.raw_input_contents.extend([PAIR, PAIR[::-1]])
    request = decode_message(built)
    assert [array.tobytes() for array in request.inputs.values()] == [PAIR, PAIR[::-1]]
    assert list(request.inputs) == ["a", "c"]
    assert list(request.shared_inputs) == ["b"]


def test_a_binary_tail_passes_over_inputs_in_shared_memory() -> None:
    request = decode(
        document(
            tensor(name="a", binary_data_size=8),
            tensor(name="b", **EIGHT),
            tensor(name="c", binary_data_size=8),
        ),
        PAIR + PAIR[::-1],
    )
    assert [array.tobytes() for array in request.inputs.values()] == [PAIR, PAIR[::-1]]


BAD_INPUTS: dict[str, dict[str, Any]] = {
    "no-size": tensor(shared_memory_region="r"),
    "size-alone": tensor(shared_memory_byte_size=8),
    "offset-alone": tensor(shared_memory_offset=8),
    "region-that-is-a-number": tensor(**EIGHT | {"shared_memory_region": 7}),
    "region-that-is-null": tensor(**EIGHT | {"shared_memory_region": None}),
    "F8-negative-offset": tensor(shared_memory_offset=-1, **EIGHT),
    "F8-negative-size": tensor(**EIGHT | {"shared_memory_byte_size": -8}),
    "F8-text-as-size": tensor(**EIGHT | {"shared_memory_byte_size": "8"}),
    "F8-true-as-offset": tensor(shared_memory_offset=True, **EIGHT),
    "size-that-the-shape-does-not-have": tensor(shape=[3], **EIGHT),
    "size-too-small-for-the-lengths-of-BYTES": tensor(shape=[3], datatype="BYTES", **EIGHT),
    "size-for-an-empty-tensor": tensor(shape=[0], **EIGHT),
    "more-elements-of-BYTES-than-allowed": tensor(
        shape=[LIMITS.max_bytes_elements + 1],
        datatype="BYTES",
        **EIGHT | {"shared_memory_byte_size": 2**40},
    ),
}


@both
@pytest.mark.parametrize("wrong", BAD_INPUTS.values(), ids=BAD_INPUTS.keys())
def test_an_input_that_cannot_lie_there_is_refused_unread(read: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedPayload, match="input 'x'") as caught:
        read(wrong)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("size", [2**63, 2**64 - 1, 8.0, [8]], ids=str)
def test_F8_a_size_that_only_JSON_can_say_is_refused(size: object) -> None:
    with pytest.raises(MalformedPayload, match="shared_memory_byte_size"):
        over_http(tensor(**EIGHT | {"shared_memory_byte_size": size}))


BAD_OUTPUTS: dict[str, Mapping[str, object]] = {
    "no-size": {"shared_memory_region": "r"},
    "size-alone": {"shared_memory_byte_size": 8},
    "F8-negative-offset": EIGHT | {"shared_memory_offset": -1},
    "with-classification": EIGHT | {"classification": 1},
}


@both
@pytest.mark.parametrize("wrong", BAD_OUTPUTS.values(), ids=BAD_OUTPUTS.keys())
def test_an_output_that_cannot_go_there_is_refused(read: Any, wrong: Mapping[str, object]) -> None:
    with pytest.raises(MalformedPayload, match="output 'y'"):
        read(outputs={"y": wrong})


def test_an_output_cannot_be_in_two_places() -> None:
    with pytest.raises(MalformedPayload, match="binary_data"):
        over_http(outputs={"y": EIGHT | {"binary_data": True}})
    (output,) = over_http(outputs={"y": EIGHT | {"binary_data": False}}).outputs
    assert output.place == PLACE


def test_C10_an_input_with_contents_too_is_refused() -> None:
    built = message(tensor(**EIGHT))
    built.inputs[0].contents.fp32_contents.extend([1, 2])
    with pytest.raises(MalformedPayload, match="contents"):
        decode_message(built)


def test_C10_a_raw_entry_for_an_input_in_shared_memory_is_one_too_many() -> None:
    built = message(tensor(**EIGHT))
    built.raw_input_contents.append(PAIR)
    with pytest.raises(MalformedPayload, match="raw_input_contents"):
        decode_message(built)


@both
def test_an_input_in_two_places_is_refused(read: Any) -> None:
    with pytest.raises(MalformedPayload, match="twice"):
        read(tensor(**EIGHT), tensor(**EIGHT))


def test_half_floats_may_go_to_shared_memory_although_JSON_has_no_form_for_them() -> None:
    half = spec(outputs=(TensorSpec("y", Datatype.FP16, (4,)),))
    request = InferRequest("m", {"x": np.zeros(4, np.float32)}, outputs=(RequestedOutput("y", place=PLACE),))
    assert validate(request, half) == 1


# What is answered.


def response() -> InferResponse:
    outputs: dict[str, Array] = {"y": np.zeros((1, 2), np.float16), "z": np.ones(2, np.float32)}
    return InferResponse("m", 1, "", outputs, frozenset({"y"}))


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
def test_over_http_an_output_in_shared_memory_has_name_datatype_and_shape(binary: bool) -> None:
    answer = encode_infer_response(InferRequest("m", {}, binary_by_default=binary), response())
    head = orjson.loads(answer.parts[0])
    assert head["outputs"][0] == {"name": "y", "datatype": "FP16", "shape": [1, 2]}
    assert b"".join(answer.parts[1:]) == (np.ones(2, np.float32).tobytes() if binary else b"")


def test_over_grpc_an_output_in_shared_memory_keeps_its_entry_empty() -> None:
    answer = pb.ModelInferResponse.FromString(encode_message(response()))
    assert list(answer.raw_output_contents) == [b"", np.ones(2, np.float32).tobytes()]
    assert (answer.outputs[0].name, list(answer.outputs[0].shape)) == ("y", [1, 2])
    assert not answer.outputs[0].parameters


def test_the_extension_is_spoken_of_only_when_it_is_there() -> None:
    assert extensions(shared_memory=False) == EXTENSIONS
    spoken = extensions(shared_memory=True)
    assert spoken.index("system_shared_memory") + 1 == spoken.index("binary_tensor_data")
    assert set(spoken) - set(EXTENSIONS) == {"system_shared_memory"}


# What is registered.


@pytest.mark.parametrize("name", ["r", "input:0_0_0", "a/b", "ä", "x" * 256])
def test_a_region_may_be_called_nearly_anything(name: str) -> None:
    assert check_region_name(name) == name


@pytest.mark.parametrize("name", ["", "a\nb", "\0", "\udcff", "x" * 257], ids=ascii)
def test_a_region_cannot_be_called_what_no_line_can_show(name: str) -> None:
    with pytest.raises(InvalidName):
        check_region_name(name)


@pytest.mark.parametrize(
    ("key", "name"), [("/x", "x"), ("x", "x"), ("/input:0_0_0", "input:0_0_0"), ("/..x", "..x"), ("/-", "-")]
)
def test_a_key_is_one_name_with_or_without_its_slash(key: str, name: str) -> None:
    assert object_name(key, "") == name


F2: dict[str, str] = {
    "F2-nothing": "",
    "F2-slash": "/",
    "F2-three-slashes": "///",
    "F2-two-slashes-before": "//x",
    "F2-slash-behind": "/x/",
    "F2-dot": "/.",
    "F2-dot-dot": "..",
    "F2-out-of-the-directory": "../x",
    "F2-into-a-directory": "/a/b",
    "F2-NUL": "/a\0b",
    "F2-line-feed-behind": "/x\n",
    "F2-300-characters": "/" + "x" * 300,
    "F2-not-ASCII": "/ä",
    "F2-encoded-slash": "/a%2Fb",
}


@pytest.mark.parametrize("key", F2.values(), ids=F2.keys())
def test_a_key_that_is_no_name_is_refused(key: str) -> None:
    with pytest.raises(InvalidName) as caught:
        object_name(key, "")
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("prefix", ["/inf_", "inf_"])
def test_F3_a_key_must_begin_as_the_operator_wants_it(prefix: str) -> None:
    assert object_name("/inf_x", prefix) == object_name("inf_x", prefix) == "inf_x"
    with pytest.raises(PermissionDenied) as caught:
        object_name("/other", prefix)
    assert "inf_" not in caught.value.message


@pytest.mark.parametrize("name", ["onnxd-1", "sem.x", "triton_python_backend_shm_region_1"])
@pytest.mark.parametrize("slashes", ["", "/", "//", "///"])
def test_F3_a_key_that_is_the_servers_own_is_refused_however_it_is_written(name: str, slashes: str) -> None:
    with pytest.raises((PermissionDenied, InvalidName)):
        object_name(slashes + name, "")


BAD_REGISTRATIONS: dict[str, dict[str, object]] = {
    "no-key": {"byte_size": 8},
    "no-size": {"key": "/x"},
    "key-that-is-a-number": {"key": 7, "byte_size": 8},
    "F7-negative-size": {"key": "/x", "byte_size": -1},
    "F7-negative-offset": {"key": "/x", "byte_size": 8, "offset": -1},
    "F7-size-of-2**63": {"key": "/x", "byte_size": 2**63},
    "F7-offset-of-2**64-1": {"key": "/x", "byte_size": 8, "offset": 2**64 - 1},
    "F7-fraction": {"key": "/x", "byte_size": 8.5},
    "F7-text": {"key": "/x", "byte_size": "8"},
    "F7-true": {"key": "/x", "byte_size": True},
    "F7-null": {"key": "/x", "byte_size": 8, "offset": None},
}


@pytest.mark.parametrize("body", BAD_REGISTRATIONS.values(), ids=BAD_REGISTRATIONS.keys())
def test_a_registration_of_another_form_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ServerError) as caught:
        read_registration(body)
    assert isinstance(caught.value, MalformedPayload)
