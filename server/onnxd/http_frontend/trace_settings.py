"""The trace extension: which requests are traced, read and changed."""

from dataclasses import dataclass

from aiohttp import web

from onnxd.fleet import Fleet
from onnxd.http_frontend.body import BodyReader
from onnxd.http_frontend.call import Call
from onnxd.http_frontend.responses import json_response
from onnxd.inference import InferenceService
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.trace_settings import LEVEL, read_trace_settings, trace_settings
from onnxd.telemetry.run_time_settings import RunTimeSettings


@dataclass(frozen=True, slots=True)
class TraceSettingHandlers:
    """Of all models, or of one. An unknown model is an error; one that does not serve now is not."""

    inference: InferenceService
    settings: RunTimeSettings
    fleet: Fleet
    body: BodyReader
    limits: ProtocolLimits

    async def read(self, call: Call) -> web.Response:
        self._check_known(call.model)
        return self._answer(call.model)

    async def update(self, call: Call) -> web.Response:
        """Answers with what holds afterwards."""
        self._check_known(call.model)
        document = await self.body.read_object(call, self.limits)
        await self.fleet.change_trace(read_trace_settings(document), call.model)
        return self._answer(call.model)

    def _check_known(self, model: str) -> None:
        if model:
            self.inference.model_ready(model, None)

    def _answer(self, model: str) -> web.Response:
        document: dict[str, str | list[str]] = dict(trace_settings(self.settings.trace, model))
        return json_response(document | {LEVEL: [document[LEVEL]]})
