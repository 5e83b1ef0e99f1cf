"""The last slow requests and errors of a model as a document: an extension of ours. Pure."""

from typing import Any, Final

from onnxd.messages import Execution, Timeline
from onnxd.telemetry.recent import RecentOfModel, RecentRequest

_STAGES: Final = (
    ("decode", "decode_start_ns", "decode_end_ns"),
    ("queue", "queue_start_ns", "compute_start_ns"),
    ("execute", "compute_start_ns", "compute_end_ns"),
    ("run", "infer_start_ns", "infer_end_ns"),
    ("encode", "encode_start_ns", "encode_end_ns"),
)
_MOST_BATCHES: Final = 16


def recent(model: str, kept: RecentOfModel) -> dict[str, Any]:
    """The newest first. Times are microseconds from the head of the request on, but for `ended`."""
    limit_ns = kept.slowness.known_ns
    return {
        "model": model,
        "slow_from_us": None if limit_ns is None else limit_ns // 1000,
        "slow": [_request(each) for each in reversed(kept.slow)],
        "errors": [_request(each) for each in reversed(kept.errors)],
    }


def _request(seen: RecentRequest) -> dict[str, Any]:
    timeline = seen.timeline
    document: dict[str, Any] = {
        "ended": round(seen.ended_s, 6),
        "total_us": seen.total_ns // 1000,
        "operation": seen.operation,
        "status": seen.status,
        "version": seen.version,
        "id": seen.request_id,
        "trace_id": seen.trace_id,
        "stages": _stages(timeline),
        "batches": [_batch(each, timeline.received_ns) for each in timeline.executions[:_MOST_BATCHES]],
    }
    if seen.error:
        document["error"] = seen.error
    return document


def _stages(timeline: Timeline) -> dict[str, list[int | None]]:
    """Of each stage that was reached when it began and ended; null = it was not left."""
    stages: dict[str, list[int | None]] = {}
    for name, start, end in _STAGES:
        start_ns: int = getattr(timeline, start)
        if start_ns:
            stages[name] = [
                _us(start_ns, timeline.received_ns),
                _us(getattr(timeline, end), timeline.received_ns),
            ]
    return stages


def _batch(execution: Execution, received_ns: int) -> dict[str, Any]:
    return {
        "version": execution.origin.version,
        "content": execution.origin.content,
        "provider": execution.origin.provider,
        "instance": execution.instance,
        "rows": execution.rows,
        "requests": execution.requests,
        "cut": execution.cut,
        "again": execution.again,
        "elements": execution.elements,
        "padding": execution.padding,
        "error": execution.error,
        "taken": _us(execution.taken_ns, received_ns),
        "run": [_us(execution.start_ns, received_ns), _us(execution.end_ns, received_ns)],
        "settled": _us(execution.settled_ns, received_ns),
    }


def _us(at_ns: int, received_ns: int) -> int | None:
    return (at_ns - received_ns) // 1000 if at_ns else None
