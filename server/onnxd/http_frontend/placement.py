"""Where a model's nodes run: an extension of ours."""

from dataclasses import dataclass

from aiohttp import web

from onnxd.http_frontend.call import Call
from onnxd.http_frontend.responses import json_response
from onnxd.inference import InferenceService
from onnxd.repository.placement_report import PlacementReports


@dataclass(frozen=True, slots=True)
class PlacementHandlers:
    """GET .../placement. The first answer for a version takes as long as a load."""

    inference: InferenceService
    reports: PlacementReports

    async def placement(self, call: Call) -> web.Response:
        return json_response(await self.reports.of(self.inference.served(call.model, call.version)))
