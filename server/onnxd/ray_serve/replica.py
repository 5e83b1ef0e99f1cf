"""One replica: the whole engine without a port of its own, as an ASGI application and as gRPC methods.

It lives as long as the ASGI lifespan lasts, in that one task: Ray begins it before the replica is given
requests, and ends it when the last of them is answered.
"""

import socket
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from onnxd.app import Seat, Server, Sockets, drain, open_server
from onnxd.fleet import statistics_of
from onnxd.protocol.documents import StatisticsRow
from onnxd.ray_serve.devices import check_devices, cpu_share
from onnxd.ray_serve.figures import Figures
from onnxd.ray_serve.fleet import AskAll, ReplicaFleet
from onnxd.ray_serve.grpc_calls import Answer, RayTransport
from onnxd.ray_serve.http_calls import HttpCalls, Receive, Scope, Send, unavailable
from onnxd.ray_serve.services import stream_paths, unary_paths
from onnxd.ray_serve.state import own_directory
from onnxd.repository.store import default_state_dir
from onnxd.runtime.devices import available_providers
from onnxd.runtime.ort import check_distributions
from onnxd.settings.server_settings import ServerSettings
from onnxd.telemetry.logs import logging_to_stderr

_STREAMS: Final = stream_paths()
_UNARY: Final = unary_paths()

_log = structlog.get_logger(__name__)


class ModelsFailed(Exception):
    """Models did not load, and the settings say that this ends the replica. For the operator."""


class Replica:
    """An ASGI application. Everything but the lifespan is refused while the engine is not open."""

    def __init__(
        self, settings: ServerSettings, name: str, assigned: Mapping[str, float], ask_all: AskAll
    ) -> None:
        """`name`: its id. `assigned`: the resources that Ray counts for it. `ask_all` calls `statistics` of
        every replica. Raises DevicesUnusable, and RuntimeError for two ONNX Runtimes."""
        check_distributions()
        check_devices(assigned, available_providers())
        threads = settings.threads
        self._settings = replace(
            settings,
            identity=replace(settings.identity, pod=name),
            threads=replace(threads, budget=threads.budget or cpu_share(assigned)),
        )
        self._ask_all = ask_all
        self._grpc = RayTransport(settings.grpc.max_message)
        self._http: HttpCalls | None = None
        self._server: Server | None = None
        self._figures = Figures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await self._live(receive, send)
        elif scope["type"] == "http":
            await (unavailable(send) if self._http is None else self._http.serve(scope, receive, send))
        else:
            raise RuntimeError(f"there is nothing here that answers a {scope['type']}")

    async def _live(self, receive: Receive, send: Send) -> None:
        settings = self._settings
        async with AsyncExitStack() as resources:
            resources.enter_context(logging_to_stderr(settings.log))
            parent = settings.state_dir or default_state_dir()
            state_dir = resources.enter_context(own_directory(parent))
            room = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="onnxd-")))
            door = resources.enter_context(socket.socket(socket.AF_UNIX))
            door.bind(str(room / "http"))
            server = await open_server(
                replace(settings, state_dir=state_dir),
                resources,
                seat=Seat(
                    Sockets(http=door, grpc_transport=self._grpc),
                    partial(ReplicaFleet, self._ask_all),
                    gather=None,
                ),
            )
            await server.lifecycle.started.wait()
            if settings.exit_on_error and (failed := server.lifecycle.failed_at_start):
                reasons = "; ".join(f"model '{name}': {reason}" for name, reason in sorted(failed.items()))
                raise ModelsFailed(f"{reasons}; the replica ends, as the setting exit_on_error says")
            server.inference.open()
            await server.grpc.announce(serving=True)
            self._http = await resources.enter_async_context(HttpCalls(str(room / "http")))
            resources.callback(self._closed)
            self._server = server
            _log.info("ready", replica=settings.identity.pod)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await drain(settings, server)
        await send({"type": "lifespan.shutdown.complete"})

    def _closed(self) -> None:
        self._server = self._http = None

    def is_open(self) -> bool:
        """Whether the engine answers."""
        return self._server is not None

    def figures(self) -> dict[str, float]:
        """Of the time since they were last asked for."""
        if self._server is None:
            return {}
        return dict(self._figures.read(self._server.inference.observe(), time.monotonic_ns()))

    def statistics(self) -> tuple[StatisticsRow, ...]:
        """What this replica has counted, of everything that it serves."""
        serving = () if self._server is None else self._server.inference.serving(None, None)
        return tuple(map(statistics_of, serving))

    async def unary(self, name: str, message: bytes, ray_context: Any) -> Answer:
        """The gRPC method of one message with this name."""
        return await self._grpc.unary(_UNARY[name], message, ray_context)

    def stream(self, name: str, messages: AsyncIterator[bytes], ray_context: Any) -> AsyncIterator[Answer]:
        """The gRPC method of streams with this name."""
        return self._grpc.stream(_STREAMS[name], messages, ray_context)
