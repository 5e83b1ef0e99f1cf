"""Every method of our services, read from the descriptors: server and client build theirs from this table."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from google.protobuf.message import Message

from onnxd_protos.pool import POOL, message_class

GRPC_INFERENCE_SERVICE: Final = "inference.GRPCInferenceService"
NEURAL_SERVICE: Final = "neural.NeuralService"


@dataclass(frozen=True, slots=True)
class Method:
    """One method as both ends of a channel need it; `path` is the HTTP/2 path, leading slash included."""

    path: str
    request: type[Message]
    response: type[Message]
    client_streaming: bool
    server_streaming: bool


def _methods(service: str) -> Mapping[str, Method]:
    return MappingProxyType(
        {
            method.name: Method(
                path=f"/{service}/{method.name}",
                request=message_class(method.input_type),
                response=message_class(method.output_type),
                client_streaming=method.client_streaming,
                server_streaming=method.server_streaming,
            )
            for method in POOL.FindServiceByName(service).methods
        }
    )


SERVICES: Final[Mapping[str, Mapping[str, Method]]] = MappingProxyType(
    {service: _methods(service) for service in (GRPC_INFERENCE_SERVICE, NEURAL_SERVICE)}
)
"""Full service name -> method name -> Method, in the order of the .proto files."""
