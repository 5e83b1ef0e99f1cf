"""Our messages are, byte for byte, those that Triton's clients have compiled in."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from tritonclient.grpc import model_config_pb2 as triton_model_config_pb2
from tritonclient.grpc import service_pb2 as triton_service_pb2

from onnxd_protos.pool import POOL, message_class

# The wire, message by message, map entries apart.
NUMBERS = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live=1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready=1",
    "ModelReadyRequest": "name=1 version=2",
    "ModelReadyResponse": "ready=1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name=1 version=2 extensions=3",
    "ModelMetadataRequest": "name=1 version=2",
    "ModelMetadataResponse": "name=1 versions=2 platform=3 inputs=4 outputs=5",
    "ModelMetadataResponse.TensorMetadata": "name=1 datatype=2 shape=3",
    "ModelConfigRequest": "name=1 version=2",
    "ModelConfigResponse": "config=1",
    "InferParameter": "bool_param=1 int64_param=2 string_param=3 double_param=4 uint64_param=5",
    "InferTensorContents": (
        "bool_contents=1 int_contents=2 int64_contents=3 uint_contents=4 uint64_contents=5 "
        "fp32_contents=6 fp64_contents=7 bytes_contents=8"
    ),
    "ModelInferRequest": (
        "model_name=1 model_version=2 id=3 parameters=4 inputs=5 outputs=6 raw_input_contents=7"
    ),
    "ModelInferRequest.InferInputTensor": "name=1 datatype=2 shape=3 parameters=4 contents=5",
    "ModelInferRequest.InferRequestedOutputTensor": "name=1 parameters=2",
    "ModelInferResponse": "model_name=1 model_version=2 id=3 parameters=4 outputs=5 raw_output_contents=6",
    "ModelInferResponse.InferOutputTensor": "name=1 datatype=2 shape=3 parameters=4 contents=5",
    "ModelStreamInferResponse": "error_message=1 infer_response=2",
    "ModelStatisticsRequest": "name=1 version=2",
    "ModelStatisticsResponse": "model_stats=1",
    "StatisticDuration": "count=1 ns=2",
    "InferStatistics": (
        "success=1 fail=2 queue=3 compute_input=4 compute_infer=5 compute_output=6 cache_hit=7 cache_miss=8"
    ),
    "InferResponseStatistics": "compute_infer=1 compute_output=2 success=3 fail=4 empty_response=5 cancel=6",
    "InferBatchStatistics": "batch_size=1 compute_input=2 compute_infer=3 compute_output=4",
    "MemoryUsage": "type=1 id=2 byte_size=3",
    "ModelStatistics": (
        "name=1 version=2 last_inference=3 inference_count=4 execution_count=5 "
        "inference_stats=6 batch_stats=7 memory_usage=8 response_stats=9"
    ),
    "ModelRepositoryParameter": "bool_param=1 int64_param=2 string_param=3 bytes_param=4",
    "RepositoryIndexRequest": "repository_name=1 ready=2",
    "RepositoryIndexResponse": "models=1",
    "RepositoryIndexResponse.ModelIndex": "name=1 version=2 state=3 reason=4",
    "RepositoryModelLoadRequest": "repository_name=1 model_name=2 parameters=3",
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": "repository_name=1 model_name=2 parameters=3",
    "RepositoryModelUnloadResponse": "",
    "SystemSharedMemoryStatusRequest": "name=1",
    "SystemSharedMemoryStatusResponse": "regions=1",
    "SystemSharedMemoryStatusResponse.RegionStatus": "name=1 key=2 offset=3 byte_size=4",
    "SystemSharedMemoryRegisterRequest": "name=1 key=2 offset=3 byte_size=4",
    "SystemSharedMemoryRegisterResponse": "",
    "SystemSharedMemoryUnregisterRequest": "name=1",
    "SystemSharedMemoryUnregisterResponse": "",
    "CudaSharedMemoryStatusRequest": "name=1",
    "CudaSharedMemoryStatusResponse": "regions=1",
    "CudaSharedMemoryStatusResponse.RegionStatus": "name=1 device_id=2 byte_size=3",
    "CudaSharedMemoryRegisterRequest": "name=1 raw_handle=2 device_id=3 byte_size=4",
    "CudaSharedMemoryRegisterResponse": "",
    "CudaSharedMemoryUnregisterRequest": "name=1",
    "CudaSharedMemoryUnregisterResponse": "",
    "TraceSettingRequest": "settings=1 model_name=2",
    "TraceSettingRequest.SettingValue": "value=1",
    "TraceSettingResponse": "settings=1",
    "TraceSettingResponse.SettingValue": "value=1",
    "LogSettingsRequest": "settings=1",
    "LogSettingsRequest.SettingValue": "bool_param=1 uint32_param=2 string_param=3",
    "LogSettingsResponse": "settings=1",
    "LogSettingsResponse.SettingValue": "bool_param=1 uint32_param=2 string_param=3",
}

TRITON_FILES: list[FileDescriptor] = [triton_service_pb2.DESCRIPTOR, triton_model_config_pb2.DESCRIPTOR]


def messages_of(file: FileDescriptor) -> Iterator[Descriptor]:
    def below(descriptor: Descriptor) -> Iterator[Descriptor]:
        yield descriptor
        for nested in descriptor.nested_types:
            yield from below(nested)

    for top in file.message_types_by_name.values():
        yield from below(top)


TRITON_MESSAGES = {message.full_name: message for file in TRITON_FILES for message in messages_of(file)}


def is_map_entry(descriptor: Descriptor) -> bool:
    return bool(descriptor.GetOptions().map_entry)


# -- numbers and types


def test_field_numbers_are_those_of_the_protocol() -> None:
    ours = {
        message.full_name.removeprefix("inference."): {field.name: field.number for field in message.fields}
        for message in messages_of(POOL.FindFileByName("grpc_service.proto"))
        if not is_map_entry(message)
    }
    assert ours == {
        name: {field: int(number) for field, number in (item.split("=") for item in fields.split())}
        for name, fields in NUMBERS.items()
    }


def test_the_simple_face_has_its_two_messages() -> None:
    numbers = {
        message.full_name: {field.name: (field.number, field.type) for field in message.fields}
        for message in messages_of(POOL.FindFileByName("neural.proto"))
    }
    assert numbers == {
        "neural.InferenceRequest": {"inputs": (1, FieldDescriptor.TYPE_FLOAT)},
        "neural.InferenceResponse": {"outputs": (1, FieldDescriptor.TYPE_FLOAT)},
    }


def schema(message: Descriptor) -> dict[str, object]:
    """All that decides how a message is written as bytes, text or JSON."""
    return {
        field.name: (
            field.number,
            field.type,
            field.is_repeated,
            field.has_presence,
            getattr(field.message_type or field.enum_type, "full_name", None),
            field.containing_oneof and field.containing_oneof.name,
        )
        for field in message.fields
    } | {enum.full_name: {value.name: value.number for value in enum.values} for enum in message.enum_types}


@pytest.mark.parametrize("theirs", TRITON_FILES, ids=lambda file: file.name)
def test_the_files_define_what_those_of_tritons_client_define(theirs: FileDescriptor) -> None:
    ours = POOL.FindFileByName("grpc_service.proto" if theirs.services_by_name else "model_config.proto")
    assert {message.full_name for message in messages_of(ours)} == {
        message.full_name for message in messages_of(theirs)
    }
    for name, enum in theirs.enum_types_by_name.items():
        assert {value.name: value.number for value in ours.enum_types_by_name[name].values} == {
            value.name: value.number for value in enum.values
        }


@pytest.mark.parametrize("name", TRITON_MESSAGES)
def test_a_message_has_the_schema_that_tritons_client_has(name: str) -> None:
    assert schema(POOL.FindMessageTypeByName(name)) == schema(TRITON_MESSAGES[name])


# -- on the wire

_SCALARS: dict[int, list[object]] = {
    FieldDescriptor.CPPTYPE_INT32: [-(2**31), 1, 2**31 - 1],
    FieldDescriptor.CPPTYPE_INT64: [-(2**63), 1, 2**63 - 1],
    FieldDescriptor.CPPTYPE_UINT32: [1, 2**32 - 1],
    FieldDescriptor.CPPTYPE_UINT64: [1, 2**64 - 1],
    FieldDescriptor.CPPTYPE_DOUBLE: [-0.1, 1e308],
    FieldDescriptor.CPPTYPE_FLOAT: [-0.5, float("inf")],
    FieldDescriptor.CPPTYPE_BOOL: [True, True],
}


def samples(field: FieldDescriptor) -> list[Any]:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return [b"\x00\xff", b"\x80"]
    if field.type == FieldDescriptor.TYPE_STRING:
        return ["é\U0001f600", "b"]
    if field.enum_type:
        return [value.number for value in field.enum_type.values]
    return _SCALARS[field.cpp_type]


def fill(message: Any, member: int) -> None:
    """Set every field to something telling; of each oneof, the `member`th of its fields."""
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if oneof and oneof.fields[member % len(oneof.fields)] is not field:
            continue
        value = getattr(message, field.name)
        if field.message_type and is_map_entry(field.message_type):
            entry = field.message_type.fields_by_name
            for key in samples(entry["key"]):
                if entry["value"].message_type:
                    fill(value[key], member)
                else:
                    value[key] = samples(entry["value"])[0]
        elif field.message_type and field.is_repeated:
            for shift in range(2):
                fill(value.add(), member + shift)
        elif field.message_type:
            value.SetInParent()
            fill(value, member)
        elif field.is_repeated:
            value.extend(samples(field))
        else:
            setattr(message, field.name, samples(field)[-1])


@pytest.mark.parametrize("name", [name for name, item in TRITON_MESSAGES.items() if not is_map_entry(item)])
def test_bytes_come_back_unchanged_from_tritons_classes_and_from_ours(name: str) -> None:
    ours = message_class(POOL.FindMessageTypeByName(name))
    theirs: Any = TRITON_MESSAGES[name]._concrete_class  # type: ignore[attr-defined]  # not in the stubs
    assert ours is not theirs
    for written_by, read_by in ((ours, theirs), (theirs, ours)):
        for member in range(5):
            message = written_by()
            fill(message, member)
            wire = message.SerializeToString(deterministic=True)
            copy = read_by.FromString(wire)
            assert copy.SerializeToString(deterministic=True) == wire
            assert str(copy) == str(message)
