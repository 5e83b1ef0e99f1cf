"""What surrounds an inference request, whichever face it came through: its trace, and its times."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from onnxd.errors import ServerError
from onnxd.http_frontend.call import Exchange
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

    def timing(self) -> list[tuple[str, str]]:
        """The headers that tell the client its times, if it asked."""
        if not self.wants_timing:
            return []
        return timing_headers(self.timeline, self.trace.traceparent if self.trace else "")


_C = TypeVar("_C", bound=Exchange)
_T = TypeVar("_T")
_ANSWERED = 200


async def traced(tracing: Tracing, call: _C, answer: Callable[[_C, Progress], Awaitable[_T]]) -> _T:
    """Answer a call, and tell its trace when it is over; what it raises is raised again."""
    headers = call.headers
    progress = Progress(Timeline.begun(call.received_ns))
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
        _end(tracing, call, progress, _status_after(error), error)
        raise
    _end(tracing, call, progress, _ANSWERED, None)
    return response


def _status_after(error: BaseException) -> int:
    if isinstance(error, ServerError):
        return status_of(error)
    return CLIENT_GONE if isinstance(error, asyncio.CancelledError | ConnectionError) else 500


def _end(
    tracing: Tracing, call: Exchange, progress: Progress, status: int, error: BaseException | None
) -> None:
    if progress.version is not None:
        call.version = progress.version
    if tracing.passed(progress.trace, progress.timeline, call.model, error):
        return
    call.trace_id = tracing.keep(
        progress.trace,
        progress.timeline,
        call.route.label if call.route else call.method,
        status,
        model=call.model,
        version=call.version,
        request_id=call.request_id or call.header_id,
        principal=call.caller.principal.name,
        error=error,
    )
