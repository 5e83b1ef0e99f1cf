"""ModelInfer and ModelStreamInfer: one request, or many on one stream."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from onnxd.errors import ServerError
from onnxd.grpc_frontend.boundary import log_call, settle
from onnxd.grpc_frontend.call import Call
from onnxd.grpc_frontend.context import Parts, Received
from onnxd.grpc_frontend.errors import status_of
from onnxd.grpc_frontend.shared_memory import is_local
from onnxd.grpc_frontend.streams import Answer
from onnxd.inference import InferenceService
from onnxd.messages import InferRequest, InferResponse, Timeline
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.proto_decoder import InferDecoder
from onnxd.protocol.proto_response import encode_infer_response, encode_stream_error
from onnxd.scheduler.payloads import Payload
from onnxd.telemetry.request_headers import timing_headers
from onnxd.telemetry.tracing import RequestTrace, Tracing

IN_THREAD_BYTES: Final = 65536
"""A message over this whose tensors are read element by element is decoded off the loop."""
_encode_in_stream: Final = partial(encode_infer_response, in_stream=True)
_ERRORS_AS_STATUS: Final = ("triton_grpc_error", "true")
"""In a stream's metadata: its caller wants its first error as the stream's status."""


@dataclass(slots=True)
class _Progress:
    """How far a request has come, for its trace."""

    timeline: Timeline
    request: InferRequest | None = None
    version: int | None = None
    """The version that answered."""
    trace: RequestTrace | None = None
    """Once the message is parsed: whether to trace is a question of the model."""


class InferCalls:
    """The inference calls of one server."""

    def __init__(self, inference: InferenceService, tracing: Tracing, limits: ProtocolLimits) -> None:
        self.inference = inference
        self.tracing = tracing
        self.decoder = InferDecoder(limits)

    async def unary(self, data: Received, call: Call) -> Parts:
        """Answer one request, or raise its ServerError."""
        progress = _Progress(Timeline.begun(call.received_ns))
        answer = await self._answer(data, call, encode_infer_response, progress)
        if call.asked.timing:
            traceparent = progress.trace.traceparent if progress.trace else ""
            call.trail(timing_headers(progress.timeline, traceparent))
        return answer

    def of_stream(self, stream: Call) -> Answer:
        """What answers the requests of a stream, by the way in which its caller wants errors."""
        metadata = stream.context.invocation_metadata() or ()
        return self._or_end if _ERRORS_AS_STATUS in metadata else self._in_band

    async def _in_band(self, data: Received, call: Call) -> Parts:
        """Answer one request of a stream; its error is a message too, and never ends the stream."""
        progress = _Progress(Timeline.begun(call.received_ns))
        try:
            answer = await self._answer(data, call, _encode_in_stream, progress)
        except Exception as raised:  # what is not a ServerError is a bug of ours: settle() hides it
            refusal = settle(raised, call)
            queued = progress.request if progress.timeline.queue_start_ns else None
            return encode_stream_error(refusal.details, call.request_id, queued)
        log_call(call, "answered", "OK")
        return answer

    async def _or_end(self, data: Received, call: Call) -> Parts:
        """Answer one request of a stream, or raise the error that ends it."""
        progress = _Progress(Timeline.begun(call.received_ns))
        answer = await self._answer(data, call, _encode_in_stream, progress)
        log_call(call, "answered", "OK")
        return answer

    async def _answer(
        self, data: Received, call: Call, encode: Callable[[InferResponse], Parts], progress: _Progress
    ) -> Parts:
        try:
            with call.hold(), self.inference.payloads.open() as payload:
                payload.grow(len(data))
                answer = await self._run(data, call, encode, progress, payload)
        except BaseException as error:
            code = status_of(error).name if isinstance(error, ServerError) else "INTERNAL"
            if isinstance(error, asyncio.CancelledError):
                code = "CANCELLED"
            self._finish(call, progress, code, error)
            raise
        self._finish(call, progress, "OK", None)
        return answer

    async def _run(
        self,
        data: Received,
        call: Call,
        encode: Callable[[InferResponse], Parts],
        progress: _Progress,
        payload: Payload,
    ) -> Parts:
        timeline = progress.timeline
        timeline.decode_start_ns = time.monotonic_ns()
        try:
            opened = self.decoder.open(data)
            call.model, call.request_id = opened.model_name, opened.id
            call.require(call.model)
            call.held.model(call.model)
        finally:
            if self.tracing.on:
                progress.trace = self.tracing.start(
                    call.carrier(), call.received_ns, model=call.model, identified=call.asked.timing
                )
        if len(data) > IN_THREAD_BYTES and opened.has_elements:
            request = await asyncio.to_thread(partial(opened.decode, remember=False))
        else:
            request = opened.decode(remember=True)
        del opened  # the bytes of text are not kept beside it while the request waits
        progress.request = request
        request.timeline = timeline
        request.deadline_s = call.deadline_s()
        request.principal = call.caller.principal
        if request.uses_shared_memory:
            self.inference.shared_memory.admit(local=is_local(call))
        timeline.decode_end_ns = time.monotonic_ns()
        response = await self.inference.infer(request)
        payload.add(response.total_bytes)
        progress.version = response.model_version
        timeline.encode_start_ns = time.monotonic_ns()
        answer = encode(response)
        timeline.encode_end_ns = time.monotonic_ns()
        return answer

    def _finish(self, call: Call, progress: _Progress, code: str, error: BaseException | None) -> None:
        asked_for = None if progress.request is None else progress.request.model_version
        call.timeline = progress.timeline
        call.version = asked_for if progress.version is None else progress.version
        if self.tracing.passed(progress.trace, progress.timeline, call.model, error):
            return
        call.trace_id = self.tracing.keep(
            progress.trace,
            progress.timeline,
            call.operation,
            code,
            model=call.model,
            version=call.version,
            request_id=call.request_id or call.asked.request_id,
            principal=call.caller.principal.name,
            error=error,
        )
