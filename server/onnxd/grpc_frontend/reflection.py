"""Server reflection over our private descriptor pool, in both versions of the protocol.

grpcio-reflection registers v1alpha only. The two versions have the same messages under other package names,
so the same servicer answers v1 when it is registered under that name too.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any, Final

from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from onnxd.grpc_frontend.boundary import stream_handler
from onnxd.grpc_frontend.call import Call, InProgress
from onnxd.grpc_frontend.context import Received
from onnxd.grpc_frontend.streams import Streams
from onnxd.grpc_frontend.transport import Handlers
from onnxd.protocol.proto_wire import parse
from onnxd_protos.pool import POOL
from onnxd_protos.services import Method

V1: Final = "grpc.reflection.v1.ServerReflection"
V1ALPHA: Final = "grpc.reflection.v1alpha.ServerReflection"
_METHOD: Final = "ServerReflectionInfo"


def reflection_handlers(services: Iterable[str], streams: Streams, running: InProgress) -> Handlers:
    """Handlers for both versions, describing `services` and themselves."""
    serve = partial(streams.serve, answer=_Reflection([*services, V1, V1ALPHA]).answer)
    methods = [_method(name) for name in (V1, V1ALPHA)]
    return {method.path: stream_handler(method, serve, running) for method in methods}


class _Reflection:
    """The library's servicer, which brings all of grpcio with it: made when somebody asks for the first time,
    and on a thread, so that nobody else waits for that."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = tuple(services)
        self._servicer: Any = None

    async def answer(self, data: Received, _: Call) -> bytes:
        """One message of a stream."""
        request = parse(ServerReflectionRequest, data)
        if self._servicer is None:
            self._servicer = await asyncio.to_thread(_servicer, self._services)
        # The servicer offers only whole streams; it answers each message of one by itself.
        responses = self._servicer.ServerReflectionInfo(_only(request), None)
        [response] = [response async for response in responses]
        return bytes(response.SerializeToString())


def _servicer(services: Iterable[str]) -> Any:
    from grpc_reflection.v1alpha import reflection

    return reflection.aio.ReflectionServicer(services, pool=POOL)


async def _only(request: ServerReflectionRequest) -> AsyncIterator[ServerReflectionRequest]:
    yield request


def _method(service: str) -> Method:
    return Method(
        path=f"/{service}/{_METHOD}",
        request=ServerReflectionRequest,
        response=ServerReflectionResponse,
        client_streaming=True,
        server_streaming=True,
    )
