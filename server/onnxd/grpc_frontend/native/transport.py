"""Our own gRPC over our own HTTP/2, on a port."""

import asyncio
from socket import socket
from typing import Final

from onnxd.grpc_frontend.config import GrpcConfig
from onnxd.grpc_frontend.native.calls import Calls
from onnxd.grpc_frontend.transport import Handlers, port_taken
from onnxd.http2.config import Http2Config
from onnxd.http2.listener import Listener
from onnxd.scheduler.payloads import PayloadBound
from onnxd.security.rates import network_of
from onnxd.security.tls import Certificates
from onnxd.telemetry.refusals import Refusals

_LAST_WORDS_S: Final = 1.0
"""For callers to be told that the server has stopped, before their connections are cut."""


class NativeTransport:
    """A Transport."""

    def __init__(
        self,
        config: GrpcConfig,
        host: str,
        certificates: Certificates | None,
        *,
        payloads: PayloadBound,
        refusals: Refusals,
        sock: socket | None = None,
    ) -> None:
        """`certificates` None: the port speaks without TLS. `payloads` bounds what is received. `sock`: bound
        already, in place of host and port."""
        self._sock = sock
        self._config = config
        self._host = host
        self._certificates = certificates
        self._payloads = payloads
        self._refusals = refusals
        self._tasks = asyncio.TaskGroup()
        self._calls: Calls | None = None
        self._listener: Listener | None = None

    async def start(self, handlers: Handlers) -> int:
        """As Transport."""
        await self._tasks.__aenter__()
        self._calls = Calls(handlers, self._config, self._payloads, self._refusals, self._tasks)
        tls = self._certificates.http2_context if self._certificates else None
        listener = Listener(
            self._calls,
            _http2(self._config),
            self._host,
            self._config.port,
            tls=tls,
            owner_of=network_of,
            sock=self._sock,
        )
        try:
            await listener.__aenter__()
        except OSError as error:
            host = f"[{self._host}]" if ":" in self._host else self._host
            raise port_taken(f"{host}:{self._config.port}") from error
        self._listener = listener
        return listener.port

    async def listen_on(self, sock: socket) -> asyncio.Server:
        """Accept on a socket that is bound, as on its own, until that server is closed; once started."""
        if self._listener is None:
            raise RuntimeError("start the transport first")
        return await self._listener.listen_on(sock)

    async def stop(self, grace_s: float) -> None:
        """As Transport. Connections are asked to go, and what is on its way on them is still served."""
        listener, self._listener = self._listener, None
        if listener is None or self._calls is None:
            return
        async with asyncio.TaskGroup() as stops:
            going = stops.create_task(listener.stop(grace_s + _LAST_WORDS_S))
            await asyncio.wait([going], timeout=grace_s)
            self._calls.end_all()

    async def close(self) -> None:
        """As Transport."""
        await self._tasks.__aexit__(None, None, None)


def _http2(config: GrpcConfig) -> Http2Config:
    return Http2Config(
        max_concurrent_streams=config.max_concurrent_streams,
        max_header_list=config.max_metadata,
        max_connections=config.max_connections,
        max_connections_per_address=config.max_connections_per_address,
        write_timeout=config.write_timeout,
        keepalive_time=config.keepalive_time,
        keepalive_timeout=config.keepalive_timeout,
        keepalive_without_calls=config.keepalive_without_calls,
        min_ping_interval=config.min_ping_interval,
        max_connection_age=config.max_connection_age,
        max_connection_age_grace=config.max_connection_age_grace,
    )
