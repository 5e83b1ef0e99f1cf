"""What served versions have done since they were loaded."""

from dataclasses import dataclass

from aiohttp import web

from onnxd.fleet import Fleet
from onnxd.http_frontend.call import Call
from onnxd.http_frontend.responses import json_response
from onnxd.inference import InferenceService
from onnxd.protocol.batching_document import batching
from onnxd.protocol.documents import statistics
from onnxd.security.gate import may_see


@dataclass(frozen=True, slots=True)
class StatisticsHandlers:
    """The statistics extension: of all models, of one, or of one version; and the batching of one."""

    inference: InferenceService
    fleet: Fleet

    async def statistics(self, call: Call) -> web.Response:
        seen = [
            served
            for served in self.inference.serving(call.model or None, call.version)
            if may_see(call.caller, "stats", served.spec.name)
        ]
        return json_response(statistics(await self.fleet.statistics(seen)))

    async def batching(self, call: Call) -> web.Response:
        served = self.inference.served(call.model, call.version)
        return json_response(batching(await self.fleet.batching(served)))
