"""The HTTP listener: how it starts and how it stops."""

import asyncio
import time
from types import TracebackType
from typing import Final

from onnxd.http_frontend.application import routes
from onnxd.http_frontend.body import BodyReader
from onnxd.http_frontend.config import HttpConfig
from onnxd.http_frontend.connection import Connections, require_compiled_parser
from onnxd.http_frontend.health import HealthHandlers
from onnxd.http_frontend.infer import InferHandlers
from onnxd.http_frontend.metadata import MetadataHandlers
from onnxd.http_frontend.middleware import Boundary
from onnxd.http_frontend.repository import ControlPlane, RepositoryHandlers
from onnxd.http_frontend.shared_memory import SharedMemoryHandlers
from onnxd.http_frontend.simple import SimpleHandlers
from onnxd.http_frontend.statistics import StatisticsHandlers
from onnxd.inference import InferenceService
from onnxd.protocol.limits import ProtocolLimits
from onnxd.telemetry.tracing import Tracing

_SHORTEST_WAIT_S: Final = 0.01


class PortTaken(OSError):
    """The port cannot be listened on. For the operator at start-up."""


class HttpFrontend:
    """An async context manager: it listens while it is open.

    Leaving it stops accepting, gives the requests in flight no further time, and closes every connection;
    call `begin_drain` and `stop` before for an orderly end.

    aiohttp's low-level server is used, not its Application: router and middlewares of that are a sixth of
    a small request's time, it decompresses and continues (`Expect`) without asking, and its protocol class
    cannot be replaced.
    """

    def __init__(
        self,
        config: HttpConfig,
        host: str,
        *,
        inference: InferenceService,
        lifecycle: ControlPlane,
        tracing: Tracing,
        limits: ProtocolLimits,
        simple_model: str,
        server_name: str,
        server_version: str,
    ) -> None:
        self._config = config
        self._host = host
        body = BodyReader(config)
        self.routes = routes(
            health=HealthHandlers(inference),
            metadata=MetadataHandlers(inference, server_name, server_version),
            infer=InferHandlers(inference, tracing, body, limits),
            statistics=StatisticsHandlers(inference),
            repository=RepositoryHandlers(lifecycle, body, limits),
            shared_memory=SharedMemoryHandlers(inference.shared_memory, body, limits),
            simple=SimpleHandlers(inference, tracing, body, limits, simple_model),
        )
        """Everything that is answered, for the documentation and for the tests that walk it."""
        self._boundary = Boundary(self.routes, host)
        self._connections: Connections | None = None
        self._listener: asyncio.Server | None = None
        self.port = config.port
        """The port that is listened on; known once the context is entered."""

    @property
    def open_connections(self) -> int:
        return 0 if self._connections is None else self._connections.open_connections

    async def __aenter__(self) -> "HttpFrontend":
        """Raises PortTaken, and RuntimeError when aiohttp's compiled parser is missing."""
        require_compiled_parser()
        self._connections = Connections(self._boundary, self._config)
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._connections, self._host, self._config.port, backlog=self._config.backlog
            )
        except OSError as error:
            raise PortTaken(
                f"cannot listen for HTTP on {self._host}:{self._config.port} ({error.strerror or error}); "
                "choose another port with --http-port, or 0 for any that is free"
            ) from error
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop(0.0)

    def begin_drain(self) -> None:
        """From now on every answer asks its client to close the connection."""
        self._boundary.draining = True

    async def stop(self, grace_s: float) -> None:
        """Stop accepting, and end what has not finished after `grace_s` seconds. May be repeated."""
        self.begin_drain()
        listener, self._listener = self._listener, None
        if listener is None or self._connections is None:
            return
        ends_s = time.monotonic() + grace_s
        listener.close()
        # One turn, so that what has arrived counts as in flight.
        await asyncio.sleep(0)
        self._connections.pre_shutdown()
        # aiohttp waits so long for the requests, and once more as long before it cancels them; 0 is for ever.
        await self._connections.shutdown(max(grace_s / 2, _SHORTEST_WAIT_S))
        await self._connections.wait_closed(max(ends_s - time.monotonic(), _SHORTEST_WAIT_S))
