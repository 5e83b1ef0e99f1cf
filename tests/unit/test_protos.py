"""The modules, their stubs, the table of methods, reflection, and life beside another owner of the names."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from tritonclient.grpc import service_pb2 as triton_service_pb2

from onnxd_protos import grpc_service_pb2, model_config_pb2, neural_pb2
from onnxd_protos.pool import POOL
from onnxd_protos.services import GRPC_INFERENCE_SERVICE, NEURAL_SERVICE, SERVICES

PROTOS = Path(__file__).resolve().parents[2] / "protos"
MODULES: list[ModuleType] = [grpc_service_pb2, model_config_pb2, neural_pb2]

# -- modules and stubs


def stub_names(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield prefix + node.target.id
        elif isinstance(node, ast.ClassDef):
            yield prefix + node.name
            yield from stub_names(node.body, f"{prefix}{node.name}.")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_whatever_a_stub_promises_exists_at_run_time(module: ModuleType) -> None:
    stub = files("onnxd_protos").joinpath(f"{module.__name__.rpartition('.')[2]}.pyi").read_text("utf-8")
    promised = list(stub_names(ast.parse(stub).body))
    assert promised

    missing = []
    for name in promised:
        thing: Any = module
        for part in name.split("."):
            # Fields are attributes of messages, not of their classes.
            is_field = hasattr(thing, "DESCRIPTOR") and part in getattr(
                thing.DESCRIPTOR, "fields_by_name", {}
            )
            thing = getattr(thing() if is_field else thing, part, None)
        if thing is None:
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_a_stub_leaves_out_no_message_and_no_enum(module: ModuleType) -> None:
    stub = files("onnxd_protos").joinpath(f"{module.__name__.rpartition('.')[2]}.pyi").read_text("utf-8")
    promised = set(stub_names(ast.parse(stub).body))
    file: FileDescriptor = module.DESCRIPTOR
    package = f"{file.package}."
    defined = set(file.enum_types_by_name)
    remaining = list(file.message_types_by_name.values())
    while remaining:
        message = remaining.pop()
        remaining.extend(message.nested_types)
        defined.add(message.full_name.removeprefix(package))
        defined.update(enum.full_name.removeprefix(package) for enum in message.enum_types)
    assert defined <= promised


def test_enums_behave_as_in_generated_modules() -> None:
    assert model_config_pb2.TYPE_BF16 == 14
    assert model_config_pb2.DataType.Name(model_config_pb2.TYPE_BF16) == "TYPE_BF16"
    assert model_config_pb2.DataType.Value("TYPE_STRING") == model_config_pb2.DataType.TYPE_STRING == 13
    assert model_config_pb2.ModelInstanceGroup.KIND_CPU == model_config_pb2.ModelInstanceGroup.Kind.KIND_CPU
    group = model_config_pb2.ModelInstanceGroup(kind=model_config_pb2.ModelInstanceGroup.KIND_MODEL)
    assert group.kind == 3


def test_classes_of_one_file_take_messages_of_another() -> None:
    config = model_config_pb2.ModelConfig(name="digits", max_batch_size=8)
    response = grpc_service_pb2.ModelConfigResponse(config=config)
    assert response.config == config
    assert type(response.config) is model_config_pb2.ModelConfig


def test_a_class_says_where_it_lives() -> None:
    nested = grpc_service_pb2.ModelInferRequest.InferInputTensor
    assert nested.__module__ == "onnxd_protos.grpc_service_pb2"
    assert nested.__qualname__ == "ModelInferRequest.InferInputTensor"


# -- services


def test_the_table_of_methods_is_whole() -> None:
    assert set(SERVICES) == {GRPC_INFERENCE_SERVICE, NEURAL_SERVICE}
    theirs = triton_service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert {
        (method.path, method.request.DESCRIPTOR.full_name, method.response.DESCRIPTOR.full_name)
        for method in SERVICES[GRPC_INFERENCE_SERVICE].values()
    } == {
        (f"/{theirs.full_name}/{method.name}", method.input_type.full_name, method.output_type.full_name)
        for method in theirs.methods
    }
    assert len(SERVICES[GRPC_INFERENCE_SERVICE]) == 20
    assert list(SERVICES[NEURAL_SERVICE]) == ["Infer", "InferStream"]


def test_only_the_two_streams_stream_and_both_ways() -> None:
    streaming = {
        method.path: (method.client_streaming, method.server_streaming)
        for service in SERVICES.values()
        for method in service.values()
        if method.client_streaming or method.server_streaming
    }
    assert streaming == {
        "/inference.GRPCInferenceService/ModelStreamInfer": (True, True),
        "/neural.NeuralService/InferStream": (True, True),
    }


def test_methods_carry_the_classes_of_the_modules() -> None:
    infer = SERVICES[GRPC_INFERENCE_SERVICE]["ModelInfer"]
    assert infer.request is grpc_service_pb2.ModelInferRequest
    assert infer.response is grpc_service_pb2.ModelInferResponse
    assert SERVICES[NEURAL_SERVICE]["Infer"].request is neural_pb2.InferenceRequest


def test_the_table_of_methods_cannot_be_changed() -> None:
    table: Any = SERVICES
    with pytest.raises(TypeError):
        table["neural.NeuralService"] = {}
    with pytest.raises(TypeError):
        del table["neural.NeuralService"]["Infer"]


# -- reflection


@pytest.mark.parametrize(
    ("service", "file"),
    [
        ("inference.GRPCInferenceService", "grpc_service.proto"),
        ("neural.NeuralService", "neural.proto"),
        ("grpc.health.v1.Health", "grpc/health/v1/health.proto"),
        ("grpc.reflection.v1alpha.ServerReflection", "grpc/reflection/v1alpha/reflection.proto"),
        ("grpc.reflection.v1.ServerReflection", "grpc/reflection/v1/reflection.proto"),
    ],
)
def test_reflection_over_our_pool_describes_every_served_service(service: str, file: str) -> None:
    servicer: Any = reflection.ReflectionServicer([service], pool=POOL)  # it has no use for a context
    request = ServerReflectionRequest(file_containing_symbol=service)
    (answer,) = servicer.ServerReflectionInfo(iter([request]), None)
    sent = [
        FileDescriptorProto.FromString(data) for data in answer.file_descriptor_response.file_descriptor_proto
    ]
    by_name = {proto.name: proto for proto in sent}
    assert service in {f"{by_name[file].package}.{item.name}" for item in by_name[file].service}
    # A client can build the file from this one answer.
    assert {dependency for proto in sent for dependency in proto.dependency} <= set(by_name)


def test_the_second_version_of_reflection_refers_to_nothing_of_the_first() -> None:
    proto = FileDescriptorProto()
    POOL.FindFileByName("grpc/reflection/v1/reflection.proto").CopyToProto(proto)
    assert proto.package == "grpc.reflection.v1"
    assert b"v1alpha" not in proto.SerializeToString()


# -- one process

_OURS = """
from onnxd_protos import grpc_service_pb2, model_config_pb2, neural_pb2, services
"""
_THEIRS = """
import tritonclient.grpc
from tritonclient.grpc import service_pb2
"""
_BOTH_WORK = """
ours = grpc_service_pb2.ModelInferRequest(model_name="digits")
theirs = service_pb2.ModelInferRequest(model_name="digits")
assert type(ours) is not type(theirs)
assert ours.SerializeToString() == theirs.SerializeToString()
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=50, check=False
    )


@pytest.mark.parametrize("imports", [_OURS + _THEIRS, _THEIRS + _OURS], ids=["ours first", "tritons first"])
def test_tritons_client_imports_beside_ours(imports: str) -> None:
    done = run("-c", imports + _BOTH_WORK)
    assert done.returncode == 0, done.stderr


def test_nothing_of_ours_is_in_the_default_pool() -> None:
    done = run(
        "-c",
        _OURS
        + """
from google.protobuf import descriptor_pool
from onnxd_protos.pool import POOL
for name in ("grpc_service.proto", "model_config.proto", "neural.proto"):
    POOL.FindFileByName(name)
    try:
        descriptor_pool.Default().FindFileByName(name)
    except KeyError:
        continue
    raise SystemExit(f"{name} is in the default pool")
""",
    )
    assert done.returncode == 0, done.stderr


# -- compiling


def test_the_committed_output_is_what_the_sources_compile_to() -> None:
    done = run(str(PROTOS / "compile.py"), "--check")
    assert done.returncode == 0, done.stderr


def test_the_check_names_what_is_out_of_date_and_leaves_it(tmp_path: Path) -> None:
    protos = tmp_path / "protos"
    shutil.copytree(PROTOS, protos, ignore=shutil.ignore_patterns("__pycache__"))
    source = protos / "neural.proto"
    source.write_text(source.read_text("utf-8").replace("float inputs = 1", "float inputs = 2"), "utf-8")
    package = protos / "onnxd_protos"
    (package / "neural_pb2.pyi").unlink()
    before = (package / "descriptors.binpb").read_bytes()

    done = run(str(protos / "compile.py"), "--check")

    assert done.returncode == 1
    assert "descriptors.binpb is out of date" in done.stderr
    assert "neural_pb2.pyi is out of date" in done.stderr
    assert "grpc_service_pb2.pyi" not in done.stderr
    assert (package / "descriptors.binpb").read_bytes() == before
    assert not (package / "neural_pb2.pyi").exists()
