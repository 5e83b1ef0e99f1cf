"""The transport of the library grpcio: its core in C, and grpc.aio over it."""

from socket import socket
from typing import Any, Final, cast

import grpc
import grpc.aio

from onnxd.grpc_frontend.config import GrpcConfig
from onnxd.grpc_frontend.context import Parts, Received
from onnxd.grpc_frontend.grpcio_context import GrpcioContext
from onnxd.grpc_frontend.tls import credentials
from onnxd.grpc_frontend.transport import Handler, Handlers, port_taken
from onnxd.security.tls import Certificates


class GrpcioTransport:
    """One server of grpc.aio."""

    def __init__(
        self, config: GrpcConfig, host: str, certificates: Certificates | None, sock: socket | None = None
    ) -> None:
        """`certificates` None: the port speaks without TLS. `sock`: bound already, with SO_REUSEPORT."""
        self._sock = sock
        self._config = config
        self._host = host
        self._certificates = certificates
        self._server: grpc.aio.Server | None = None

    async def start(self, handlers: Handlers) -> int:
        """As Transport.start."""
        server = grpc.aio.server(options=_options(self._config, shared=self._sock is not None))
        server.add_generic_rpc_handlers([_ByPath(handlers)])
        host = f"[{self._host}]" if ":" in self._host else self._host
        # grpcio cannot adopt a socket: it binds the port of this one once more.
        address = f"{host}:{self._sock.getsockname()[1] if self._sock else self._config.port}"
        try:
            if self._certificates is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, credentials(self._certificates))
        except RuntimeError as error:
            raise port_taken(address) from error
        await server.start()
        self._server = server
        return port

    async def stop(self, grace_s: float) -> None:
        """As Transport.stop. Handlers may still be about to hear that their calls are cancelled."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None

    async def close(self) -> None:
        """As Transport.close: its handlers' tasks are the library's."""


class _ByPath(grpc.GenericRpcHandler):
    def __init__(self, handlers: Handlers) -> None:
        self._handlers = {path: library_handler(handler) for path, handler in handlers.items()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handlers.get(str(handler_call_details.method))


def library_handler(handler: Handler) -> "grpc.RpcMethodHandler[Any, Any]":
    """The same, as the library registers it."""

    async def serve(data: Received | None, context: Any) -> Any:
        answer = handler.serve(data, GrpcioContext(context))
        del data  # what abort raises has this frame, and is kept until the garbage collector comes by
        return await answer

    kinds = (grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler)
    return kinds[handler.streamed](cast(Any, serve), request_deserializer=None, response_serializer=_joined)


def _joined(message: Parts) -> bytes:
    """The library sends a message in one piece only."""
    return message if isinstance(message, bytes) else b"".join(message)


_MAX_PENDING_CALLS: Final = 8192
_COMPRESSION_LEVELS: Final = {"none": 0, "gzip": 1, "deflate": 3}
"""A level and not an algorithm: grpc chooses the level's among those that the caller reads. An algorithm it
would use whatever the caller says."""


def _options(config: GrpcConfig, *, shared: bool) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", config.max_message),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", config.max_metadata),
        ("grpc.absolute_max_metadata_size", config.max_metadata),
        ("grpc.max_concurrent_streams", config.max_concurrent_streams),
        # Calls that have come and were not yet taken up. Beyond its default of 1,000 grpc ends them at random
        # as CANCELLED; what is too much is ours to say.
        ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", 2 * _MAX_PENDING_CALLS),
        ("grpc.keepalive_time_ms", int(config.keepalive_time * 1000)),
        ("grpc.keepalive_timeout_ms", int(config.keepalive_timeout * 1000)),
        ("grpc.keepalive_permit_without_calls", int(config.keepalive_without_calls)),
        ("grpc.max_connection_age_ms", int(config.max_connection_age * 1000)),
        ("grpc.max_connection_age_grace_ms", int(config.max_connection_age_grace * 1000)),
        # With its default a second server binds the same port without a word, and takes half of the calls.
        ("grpc.so_reuseport", int(shared)),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.http2.min_ping_interval_without_data_ms", int(config.min_ping_interval * 1000)),
        ("grpc.default_compression_level", _COMPRESSION_LEVELS[config.response_compression]),
    ]
