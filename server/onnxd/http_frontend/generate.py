"""POST .../generate and .../generate_stream: an inference as one flat JSON object."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from onnxd.errors import ServerError, UnsupportedEncoding
from onnxd.http_frontend.body import BodyReader, is_compressed
from onnxd.http_frontend.call import Call
from onnxd.http_frontend.deadline import deadline_s
from onnxd.http_frontend.errors import response_to
from onnxd.http_frontend.json_process import JsonProcess
from onnxd.http_frontend.responses import JSON_HEADERS, send_parts
from onnxd.http_frontend.tracing import Progress, traced
from onnxd.inference import InferenceService
from onnxd.messages import InferResponse
from onnxd.protocol.generate import (
    decode_generate_request,
    encode_error_event,
    encode_event,
    encode_generate_response,
)
from onnxd.protocol.limits import ProtocolLimits
from onnxd.telemetry.tracing import Tracing

_EVENT_HEADERS: Final = CIMultiDict({"Server": "onnxd", "Content-Type": "text/event-stream; charset=utf-8"})


@dataclass(frozen=True, slots=True)
class GenerateHandlers:
    """The generate extension. A model has one answer to a request, so a stream has one event."""

    inference: InferenceService
    tracing: Tracing
    body: BodyReader
    large: JsonProcess
    limits: ProtocolLimits

    async def generate(self, call: Call) -> web.StreamResponse:
        async def answer(call: Call, progress: Progress) -> web.StreamResponse:
            return await self._answer(call, progress, encode_generate_response, JSON_HEADERS)

        return await traced(self.tracing, call, answer)

    async def generate_stream(self, call: Call) -> web.StreamResponse:
        """The answer as an event, and so an error that came after the request was queued: until then it is
        an error like any other. Its status is the first event's in both cases."""
        queued = False

        async def answer(call: Call, progress: Progress) -> web.StreamResponse:
            nonlocal queued
            try:
                return await self._answer(call, progress, _event, _EVENT_HEADERS)
            finally:
                queued = progress.timeline.queue_start_ns > 0

        try:
            return await traced(self.tracing, call, answer)
        except ServerError as error:
            if not queued:
                raise
            call.error, call.error_kind = error.message, type(error)
            response = response_to(error)
            response.body = encode_error_event(error.message)
            response.headers.update(_EVENT_HEADERS)
            return response

    async def _answer(
        self,
        call: Call,
        progress: Progress,
        encode: Callable[[InferResponse], bytes],
        headers: CIMultiDict[str],
    ) -> web.StreamResponse:
        timeline = progress.timeline
        latest_s = deadline_s(call)
        if is_compressed(call.headers):
            raise UnsupportedEncoding(
                "'generate' takes no compressed body: send it without Content-Encoding", readable="identity"
            )
        text = await self.body.read(call)
        await self.inference.wake(call.model)
        timeline.decode_start_ns = time.monotonic_ns()
        request = progress.request = await self.large.by_size(
            len(text),
            decode_generate_request,
            text,
            self.inference.spec(call.model, call.version),
            model_version=call.version,
            limits=self.limits,
        )
        request.timeline = timeline
        request.deadline_s = latest_s
        request.principal = call.caller.principal
        call.request_id = request.id
        timeline.decode_end_ns = time.monotonic_ns()
        response = await self.inference.infer(request)
        progress.version = response.model_version
        timeline.encode_start_ns = time.monotonic_ns()
        body = encode(response)
        timeline.encode_end_ns = time.monotonic_ns()
        headers = headers.copy()
        headers.update(progress.timing())
        return await send_parts(call, [body], headers)


def _event(response: InferResponse) -> bytes:
    return encode_event(encode_generate_response(response))
