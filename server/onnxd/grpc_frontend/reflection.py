"""Server reflection over our private descriptor pool, in both versions of the protocol.

grpcio-reflection registers v1alpha only. The two versions have the same messages under other package names,
so the same servicer answers v1 when it is registered under that name too.
"""

from collections.abc import Iterable
from typing import Any, Final, cast

import grpc
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from onnxd_protos.pool import POOL

V1: Final = "grpc.reflection.v1.ServerReflection"
V1ALPHA: Final = "grpc.reflection.v1alpha.ServerReflection"


def reflection_handlers(services: Iterable[str]) -> list[grpc.GenericRpcHandler]:
    """Handlers for both versions, describing `services` and themselves."""
    servicer = reflection.aio.ReflectionServicer([*services, V1, V1ALPHA], pool=POOL)
    handler = grpc.stream_stream_rpc_method_handler(
        cast(Any, servicer.ServerReflectionInfo),
        request_deserializer=ServerReflectionRequest.FromString,
        response_serializer=ServerReflectionResponse.SerializeToString,
    )
    return [
        grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
        for name in (V1, V1ALPHA)
    ]
