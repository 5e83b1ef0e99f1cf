"""The HTTP listener: how it starts and how it stops."""

import socket
import ssl
from collections.abc import Callable
from types import TracebackType

from onnxd.fleet import Fleet
from onnxd.http_frontend.application import routes
from onnxd.http_frontend.body import BodyReader
from onnxd.http_frontend.config import HttpConfig
from onnxd.http_frontend.generate import GenerateHandlers
from onnxd.http_frontend.health import HealthHandlers
from onnxd.http_frontend.infer import InferHandlers
from onnxd.http_frontend.infer_steps import InferSteps
from onnxd.http_frontend.json_process import JsonProcess
from onnxd.http_frontend.lane.service import LaneService
from onnxd.http_frontend.listener import Listener
from onnxd.http_frontend.live import LiveEvents
from onnxd.http_frontend.log_settings import LogSettingHandlers
from onnxd.http_frontend.metadata import MetadataHandlers
from onnxd.http_frontend.metrics import MetricsHandlers
from onnxd.http_frontend.middleware import Boundary
from onnxd.http_frontend.pages import PageHandlers
from onnxd.http_frontend.placement import PlacementHandlers
from onnxd.http_frontend.repository import RepositoryHandlers
from onnxd.http_frontend.shared_memory import SharedMemoryHandlers
from onnxd.http_frontend.simple import SimpleHandlers
from onnxd.http_frontend.statistics import StatisticsHandlers
from onnxd.http_frontend.trace_settings import TraceSettingHandlers
from onnxd.inference import InferenceService
from onnxd.protocol.json_response import ResponseHeads
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.request_plans import RequestPlans
from onnxd.repository.control_plane import ControlPlane
from onnxd.repository.placement_report import PlacementReports
from onnxd.security.gate import Gate
from onnxd.telemetry.metrics import Metrics
from onnxd.telemetry.observation import Observation
from onnxd.telemetry.refusals import Refusals
from onnxd.telemetry.run_time_settings import RunTimeSettings
from onnxd.telemetry.tracing import Tracing


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
        run_time: RunTimeSettings,
        fleet: Fleet,
        limits: ProtocolLimits,
        simple_model: str,
        server_name: str,
        server_version: str,
        refusals: Refusals,
        gate: Gate,
        tls: ssl.SSLContext | None = None,
        metrics: Metrics | None,
        placements: PlacementReports,
        observe: Callable[[], Observation],
        sock: socket.socket | None = None,
    ) -> None:
        """`metrics` None: there is no /metrics. `observe`: what the server has done, for watchers. `sock`:
        bound already, in place of host and port."""
        body = BodyReader(config, inference.payloads)
        self.large = large = JsonProcess(limits)
        """Reads JSON that is too large for this process."""
        self._live = LiveEvents(inference, lifecycle, observe)
        steps = InferSteps(inference, tracing, large, limits, RequestPlans(limits), ResponseHeads())
        pages = PageHandlers(inference, server_version, gate.authenticates)
        self.routes = pages.described = routes(
            health=HealthHandlers(inference),
            metadata=MetadataHandlers(inference, server_name, server_version),
            infer=InferHandlers(steps, body),
            generate=GenerateHandlers(inference, tracing, body, large, limits),
            statistics=StatisticsHandlers(inference, fleet, tracing.recent),
            repository=RepositoryHandlers(lifecycle, body, large, limits),
            shared_memory=SharedMemoryHandlers(inference.shared_memory, fleet, body, limits),
            simple=SimpleHandlers(inference, tracing, body, large, limits, simple_model),
            trace=TraceSettingHandlers(inference, run_time, fleet, body, limits),
            log=LogSettingHandlers(run_time, fleet, body, limits),
            metrics=None if metrics is None else MetricsHandlers(metrics),
            placement=PlacementHandlers(inference, placements),
            pages=pages,
            live=self._live,
        )
        """Everything that is answered, for the documentation and for the tests that walk it."""
        self._boundary = Boundary(self.routes, host, refusals, gate)
        lane = LaneService(self._boundary, steps, config, inference.payloads) if config.lane else None
        self.listener = Listener(
            self._boundary, config, host, config.port, flag="--http-port", tls=tls, lane=lane, sock=sock
        )

    @property
    def port(self) -> int:
        """The port that is listened on; known once the context is entered."""
        return self.listener.port

    @property
    def open_connections(self) -> int:
        return self.listener.open_connections

    @property
    def requests_through_aiohttp(self) -> int:
        """So far; the others have taken the lane."""
        return self.listener.requests_through_aiohttp

    async def __aenter__(self) -> "HttpFrontend":
        """Raises PortTaken, and RuntimeError when aiohttp's compiled parser is missing."""
        await self.listener.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop(0.0)
        await self.large.close()

    def begin_drain(self) -> None:
        """From now on every answer asks its client to close the connection."""
        self._boundary.draining = True
        self._live.close()

    async def stop(self, grace_s: float) -> None:
        """Stop accepting, and end what has not finished after `grace_s` seconds. May be repeated."""
        self.begin_drain()
        await self.listener.stop(grace_s)
