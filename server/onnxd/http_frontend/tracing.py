"""One trace around an inference request, whichever face it came through."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from onnxd.errors import ServerError
from onnxd.http_frontend.call import Exchange
from onnxd.http_frontend.errors import CLIENT_GONE, status_of
from onnxd.messages import InferRequest, Timeline
from onnxd.telemetry.attributes import MODEL_NAME, AttributeValue, http_attributes, request_attributes
from onnxd.telemetry.tracing import RequestTrace, Tracing


@dataclass(slots=True)
class Progress:
    """How far a request has come."""

    timeline: Timeline
    request: InferRequest | None = None
    """Once it is decoded."""
    version: int | None = None
    """The version that answered."""


_C = TypeVar("_C", bound=Exchange)
_T = TypeVar("_T")
_ANSWERED = 200


async def traced(tracing: Tracing, call: _C, answer: Callable[[_C, Progress], Awaitable[_T]]) -> _T:
    """Answer a call, inside a span if it is to be traced; what it raises is raised again."""
    progress = Progress(Timeline(received_ns=call.received_ns))
    trace = None
    if tracing.on:
        trace = tracing.start(call.headers, call.received_ns, model=call.model)
    if trace is None:
        return await answer(call, progress)
    call.trace_id = trace.trace_id
    try:
        response = await answer(call, progress)
    except BaseException as error:
        _finish(tracing, trace, call, progress, _status_after(error), error)
        raise
    _finish(tracing, trace, call, progress, _ANSWERED, None)
    return response


def _status_after(error: BaseException) -> int:
    if isinstance(error, ServerError):
        return status_of(error)
    return CLIENT_GONE if isinstance(error, asyncio.CancelledError | ConnectionError) else 500


def _finish(
    tracing: Tracing,
    trace: RequestTrace,
    call: Exchange,
    progress: Progress,
    status: int,
    error: BaseException | None,
) -> None:
    route = call.route
    attributes: dict[str, AttributeValue] = {MODEL_NAME: call.model}
    if route is not None:
        attributes.update(http_attributes(route.method, route.path, status))
    if progress.request is not None:
        attributes.update(request_attributes(progress.request, progress.version))
    tracing.finish(trace, progress.timeline, attributes=attributes, error=error)
