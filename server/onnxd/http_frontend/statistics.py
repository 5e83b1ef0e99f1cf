"""What served versions have done since they were loaded."""

from dataclasses import dataclass

from aiohttp import web

from onnxd.http_frontend.call import Call
from onnxd.http_frontend.responses import json_response
from onnxd.inference import InferenceService
from onnxd.protocol.batching_document import batching
from onnxd.protocol.documents import StatisticsRow, statistics
from onnxd.repository.batching_report import batching_report
from onnxd.security.gate import may_see


@dataclass(frozen=True, slots=True)
class StatisticsHandlers:
    """The statistics extension: of all models, of one, or of one version; and the batching of one."""

    inference: InferenceService

    async def statistics(self, call: Call) -> web.Response:
        return json_response(
            statistics(
                StatisticsRow(
                    served.spec.name,
                    served.spec.version,
                    served.statistics.snapshot(),
                    served.report.resident_bytes,
                )
                for served in self.inference.serving(call.model or None, call.version)
                if may_see(call.caller, "stats", served.spec.name)
            )
        )

    async def batching(self, call: Call) -> web.Response:
        return json_response(batching(batching_report(self.inference.served(call.model, call.version))))
