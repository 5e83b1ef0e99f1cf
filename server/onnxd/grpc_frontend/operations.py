"""Which row of the table of permissions each gRPC method is. One that is not here cannot be registered."""

from collections.abc import Mapping
from typing import Final

from onnxd.security.operations import operation

_INFERENCE: Final[Mapping[str, str]] = {
    "ServerLive": "health",
    "ServerReady": "health",
    "ModelReady": "health",
    "ServerMetadata": "metadata",
    "ModelMetadata": "metadata",
    "ModelConfig": "config",
    "ModelInfer": "infer",
    "ModelStreamInfer": "infer",
    "ModelStatistics": "stats",
    "RepositoryIndex": "index",
    "RepositoryModelLoad": "load",
    "RepositoryModelUnload": "unload",
    "SystemSharedMemoryStatus": "shared_memory",
    "SystemSharedMemoryRegister": "shared_memory",
    "SystemSharedMemoryUnregister": "shared_memory",
    "CudaSharedMemoryStatus": "shared_memory",
    "CudaSharedMemoryRegister": "shared_memory",
    "CudaSharedMemoryUnregister": "shared_memory",
    # These read, and change what their request mentions, for which their handlers ask again.
    "TraceSetting": "trace_settings",
    "LogSettings": "log_settings",
}

_OPERATION_OF: Final[Mapping[str, str]] = {
    **{f"/inference.GRPCInferenceService/{name}": asks for name, asks in _INFERENCE.items()},
    "/neural.NeuralService/Infer": "infer",
    "/neural.NeuralService/InferStream": "infer",
    "/grpc.health.v1.Health/Check": "health",
    "/grpc.health.v1.Health/Watch": "health",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": "reflection",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "reflection",
}


def operation_of(path: str) -> str:
    """The operation that a method is. Raises ValueError for one that nobody has thought about."""
    name = _OPERATION_OF.get(path, "")
    operation(name)
    return name
