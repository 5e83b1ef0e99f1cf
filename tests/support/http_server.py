"""A real HTTP front end on a free port, over models in memory."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from onnxd.fleet import Alone
from onnxd.http_frontend.config import HttpConfig
from onnxd.http_frontend.server import HttpFrontend
from onnxd.protocol.limits import ProtocolLimits
from onnxd.repository.placement_report import PlacementReports
from onnxd.runtime.trial import TrialRoom
from onnxd.security.gate import Gate
from onnxd.telemetry.log_settings import LogSettings
from onnxd.telemetry.metrics import Metrics
from onnxd.telemetry.observation import Observation
from onnxd.telemetry.run_time_settings import RunTimeSettings
from onnxd.telemetry.tracing import Tracing
from tests.support.raw_http import Answer, connect, request_bytes
from tests.support.serving import Serving

ROW: list[float] = [1.0, 2.0, 3.0, 4.0]
BOTH_WAYS = pytest.mark.parametrize("way", ["lane", "aiohttp"])
"""For a module whose tests hold whichever way inference requests take."""
INFER = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}, separators=(",", ":")
).encode()
"""A request that the model `identity` answers with `y` = ROW."""


@dataclass(slots=True)
class HttpServer:
    """A server that is up, and what it stands on."""

    frontend: HttpFrontend
    stand: Serving

    @property
    def port(self) -> int:
        return self.frontend.port

    async def send(self, data: bytes) -> Answer:
        """The answer to these bytes on a connection of their own."""
        async with connect(self.port) as connection:
            await connection.send(data)
            return await connection.answer()

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.send(request_bytes("GET", path, headers=headers))

    async def post(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        return await self.send(request_bytes("POST", path, body, headers))

    async def infer(self, document: Any, model: str = "identity") -> Answer:
        return await self.post(f"/v2/models/{model}/infer", json.dumps(document).encode())

    async def assert_well(self) -> None:
        """It is alive, and answers rightly."""
        assert (await self.get("/v2/health/live")).json() == {"live": True}
        answer = await self.post("/v2/models/identity/infer", INFER)
        assert answer.status == 200, answer.body
        assert answer.json()["outputs"][0]["data"] == ROW


@asynccontextmanager
async def http_server(
    stand: Serving,
    config: HttpConfig | None = None,
    *,
    limits: ProtocolLimits | None = None,
    tracing: Tracing | None = None,
    host: str = "127.0.0.1",
    metrics: Metrics | None = None,
    gate: Gate | None = None,
) -> AsyncIterator[HttpServer]:
    """Listen on a free port while the context lasts."""
    tracing = tracing or Tracing()
    run_time = RunTimeSettings(tracing.settings, LogSettings())
    frontend = HttpFrontend(
        replace(config or HttpConfig(port=0), lane=stand.lane),
        host,
        inference=stand.inference,
        lifecycle=stand.control,
        tracing=tracing,
        run_time=run_time,
        fleet=Alone(stand.inference.shared_memory, run_time),
        limits=limits or ProtocolLimits(),
        simple_model="identity",
        server_name="onnxd",
        server_version="0.0.0",
        refusals=stand.refusals,
        gate=gate or Gate(),
        metrics=metrics,
        placements=PlacementReports(TrialRoom()),
        observe=lambda: Observation({}, stand.inference.observe(), stand.inference.in_flight, {}, {}),
    )
    async with frontend:
        yield HttpServer(frontend, stand)
