"""POST /infer: numbers in, numbers out, on the configured model."""

import time
from dataclasses import dataclass

from aiohttp import web

from onnxd.errors import MalformedPayload
from onnxd.http_frontend.body import BodyReader
from onnxd.http_frontend.call import Call
from onnxd.http_frontend.deadline import deadline_s
from onnxd.http_frontend.json_process import JsonProcess
from onnxd.http_frontend.responses import json_response
from onnxd.http_frontend.tracing import Progress, traced
from onnxd.inference import InferenceService
from onnxd.messages import InferRequest
from onnxd.protocol.json_text import parse_object
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.simple import simple_answer, simple_request
from onnxd.telemetry.tracing import Tracing
from onnxd.tensors import ModelSpec


@dataclass(frozen=True, slots=True)
class SimpleHandlers:
    """The simple face of one model."""

    inference: InferenceService
    tracing: Tracing
    body: BodyReader
    large: JsonProcess
    limits: ProtocolLimits
    model: str

    async def infer(self, call: Call) -> web.StreamResponse:
        """`{"inputs": [numbers]}` or `{"inputs": [[numbers], ...]}` -> `{"outputs": [...]}`; NaN is null."""
        return await traced(self.tracing, call, self._answer)

    async def _answer(self, call: Call, progress: Progress) -> web.StreamResponse:
        timeline = progress.timeline
        latest_s = deadline_s(call)
        text = await self.body.read(call)
        await self.inference.wake(self.model)
        timeline.decode_start_ns = time.monotonic_ns()
        spec = self.inference.spec(self.model, None)
        request, several = await self.large.by_size(len(text), _decode, text, spec, self.limits)
        progress.request = request
        request.timeline = timeline
        request.deadline_s = latest_s
        request.principal = call.caller.principal
        timeline.decode_end_ns = time.monotonic_ns()
        response = await self.inference.infer(request)
        progress.version = response.model_version
        timeline.encode_start_ns = time.monotonic_ns()
        answer = json_response({"outputs": simple_answer(spec, response, several=several)})
        timeline.encode_end_ns = time.monotonic_ns()
        answer.headers.update(progress.timing())
        return answer


def _decode(text: bytes, spec: ModelSpec, limits: ProtocolLimits) -> tuple[InferRequest, bool]:
    document = parse_object(text, limits)
    if "inputs" not in document:
        raise MalformedPayload('expected {"inputs": [numbers]}, got no "inputs"')
    return simple_request(spec, document["inputs"])
