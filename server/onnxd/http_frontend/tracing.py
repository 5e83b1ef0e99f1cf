"""What surrounds an inference request, whichever face it came through: its trace, and its times."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict

from onnxd.errors import ServerError
from onnxd.http_frontend.call import Call
from onnxd.http_frontend.errors import CLIENT_GONE, status_of
from onnxd.messages import InferRequest, Timeline
from onnxd.telemetry.request_headers import TIMING, timing_headers, wants_timing
from onnxd.telemetry.tracing import RequestTrace, Tracing


@dataclass(slots=True)
class Progress:
    """How far a request has come."""

    timeline: Timeline
    request: InferRequest | None = None
    """Once it is decoded."""
    version: int | None = None
    """The version that answered."""
    wants_timing: bool = False
    """Whether its client asked for its times."""
    trace: RequestTrace | None = None

    def add_timing(self, headers: CIMultiDict[str]) -> None:
        """Tell the client, if it asked."""
        if self.wants_timing:
            headers.update(timing_headers(self.timeline, self.trace.traceparent if self.trace else ""))


Answer = Callable[[Call, Progress], Awaitable[web.StreamResponse]]


async def traced(tracing: Tracing, call: Call, answer: Answer) -> web.StreamResponse:
    """Answer a call, and tell its trace when it is over; what it raises is raised again."""
    headers = call.request.headers
    progress = Progress(Timeline(received_ns=call.received_ns))
    call.timeline = progress.timeline
    if TIMING in headers:
        progress.wants_timing = wants_timing(headers[TIMING])
    if tracing.on:
        progress.trace = tracing.start(
            headers, call.received_ns, model=call.model, identified=progress.wants_timing
        )
    try:
        response = await answer(call, progress)
    except BaseException as error:
        _finish(tracing, call, progress, _status_after(error), error)
        raise
    _finish(tracing, call, progress, response.status, None)
    return response


def _status_after(error: BaseException) -> int:
    if isinstance(error, ServerError):
        return status_of(error)
    return CLIENT_GONE if isinstance(error, asyncio.CancelledError | ConnectionError) else 500


def _finish(
    tracing: Tracing, call: Call, progress: Progress, status: int, error: BaseException | None
) -> None:
    call.trace_id = tracing.finish(
        progress.trace,
        progress.timeline,
        call.route.label if call.route else call.request.method,
        status,
        model=call.model,
        version=call.version if progress.version is None else progress.version,
        request_id=call.request_id or call.header_id,
        principal=call.caller.principal.name,
        error=error,
    )
    call.version = call.version if progress.version is None else progress.version
