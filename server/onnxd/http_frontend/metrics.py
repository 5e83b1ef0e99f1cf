"""GET /metrics, on the port of everything else and on one of its own as Triton has it."""

import socket
import ssl
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final

import structlog
from aiohttp import web
from multidict import CIMultiDict

from onnxd.errors import ServerError
from onnxd.http_frontend.call import Call
from onnxd.http_frontend.config import HttpConfig, MetricsConfig
from onnxd.http_frontend.credentials import credentials_of
from onnxd.http_frontend.errors import refusal, response_to
from onnxd.http_frontend.listener import Listener, PortTaken
from onnxd.http_frontend.responses import SERVER_HEADERS
from onnxd.security.gate import Gate
from onnxd.telemetry.metric_form import CONTENT_TYPE, OPENMETRICS_CONTENT_TYPE, wants_openmetrics
from onnxd.telemetry.metrics import Metrics

DEFAULT_PORT: Final = 8002
_PATHS: Final = ("/metrics", "/metrics/")
_MAX_CONNECTIONS: Final = 64
"""Scrapers are few."""

_log = structlog.get_logger(__name__)


async def _answer(metrics: Metrics, request: web.BaseRequest) -> web.Response:
    openmetrics = wants_openmetrics(request.headers.get("Accept", ""))
    headers = CIMultiDict(SERVER_HEADERS)
    headers["Content-Type"] = OPENMETRICS_CONTENT_TYPE if openmetrics else CONTENT_TYPE
    return web.Response(body=await metrics.text(openmetrics=openmetrics), headers=headers)


@dataclass(frozen=True, slots=True)
class MetricsHandlers:
    """The metrics among the other operations."""

    metrics: Metrics

    async def scrape(self, call: Call) -> web.Response:
        return await _answer(self.metrics, call.request)


class MetricsListener:
    """The port for scrapers. An async context manager: it listens while it is open, through a drain as well.

    Its oddities are Triton's: whatever else is asked for is an empty answer, and a success.
    """

    def __init__(
        self,
        metrics: Metrics,
        config: MetricsConfig,
        http: HttpConfig,
        host: str,
        gate: Gate,
        tls: ssl.SSLContext | None = None,
        sock: socket.socket | None = None,
    ) -> None:
        """`http`: the bounds of a connection. `sock`: bound already, in place of host and port."""
        self._gate = gate
        self._metrics = metrics
        self._config = config
        port = DEFAULT_PORT if config.port is None else config.port
        bounds = replace(http, max_connections=_MAX_CONNECTIONS)
        self.listener = Listener(self._serve, bounds, host, port, flag="--metrics-port", tls=tls, sock=sock)
        self.port: int | None = None
        """The port that is listened on; None = none: the default one was taken, and nobody insisted on it."""

    async def __aenter__(self) -> "MetricsListener":
        """Raises PortTaken for a port that was chosen."""
        try:
            await self.listener.open()
        except PortTaken:
            if self._config.port is not None:
                raise
            _log.warning(
                "the port for metrics is in use, by another server perhaps: only the HTTP port has /metrics",
                port=DEFAULT_PORT,
                mend="choose a port with --metrics-port",
            )
        else:
            self.port = self.listener.port
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.listener.stop(0.0)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "GET":
            return refusal(405, "Method Not Allowed", {"Allow": "GET"})
        if request.rel_url.raw_path not in _PATHS:
            return web.Response(headers=SERVER_HEADERS, content_type="text/plain")
        try:
            sent = credentials_of(request.headers, request.remote or "", request.transport, self._gate)
            self._gate.admit("metrics", sent)
        except ServerError as refused:
            return response_to(refused)
        return await _answer(self._metrics, request)
