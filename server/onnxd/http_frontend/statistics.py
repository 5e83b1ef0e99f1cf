"""What served versions have done since they were loaded."""

from dataclasses import dataclass

from aiohttp import web

from onnxd.errors import ModelNotFound
from onnxd.fleet import Fleet
from onnxd.http_frontend.call import Call
from onnxd.http_frontend.responses import json_response
from onnxd.inference import InferenceService
from onnxd.protocol.batching_document import batching
from onnxd.protocol.documents import statistics
from onnxd.protocol.recent_document import recent
from onnxd.security.gate import may_see
from onnxd.telemetry.recent import Recent


@dataclass(frozen=True, slots=True)
class StatisticsHandlers:
    """The statistics extension: of all models, of one, or of one version; and more of one model."""

    inference: InferenceService
    fleet: Fleet
    kept: Recent

    async def statistics(self, call: Call) -> web.Response:
        seen = [
            served
            for served in self.inference.serving(call.model or None, call.version)
            if may_see(call.caller, "stats", served.spec.name)
        ]
        return json_response(statistics(await self.fleet.statistics(seen)))

    async def recent(self, call: Call) -> web.Response:
        """The last slow requests and errors. Of a model that there is, whether it serves or not."""
        kept = self.kept.of(call.model)
        if kept is None:
            raise ModelNotFound(f"there is no model '{call.model}'")
        return json_response(recent(call.model, kept))

    async def batching(self, call: Call) -> web.Response:
        served = self.inference.served(call.model, call.version)
        return json_response(batching(await self.fleet.batching(served)))
