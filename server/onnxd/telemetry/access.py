"""The access log: one line for each request that is over.

Requests that succeed are logged at `debug`, or a share of them at `info` (setting log.access); refused ones
at `info` and failures of the server at `warning`. So the default shows what went wrong and costs nothing for
what went well. Lines of what went well are written in bulk (access_writer.py) where the server's log is open.
"""

import logging
import time
from typing import Final, Literal

import structlog

from onnxd.messages import Timeline
from onnxd.telemetry.access_writer import AccessLine, AccessWriter

Outcome = Literal["answered", "refused", "failed"]
"""Answered; refused because of what the client sent or asked; failed through no fault of the client."""

_LEVELS: Final[dict[Outcome, int]] = {
    "answered": logging.DEBUG,
    "refused": logging.INFO,
    "failed": logging.WARNING,
}
_NAME: Final = "onnxd.access"
_gate: Final = logging.getLogger(_NAME)
_log: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger(_NAME)


def answers_are_logged() -> bool:
    """Whether log_access has anything to do for requests that are answered."""
    writer = AccessWriter.open_one
    return (writer is not None and writer.share > 0) or _gate.isEnabledFor(logging.DEBUG)


def log_access(
    outcome: Outcome,
    operation: str,
    status: int | str,
    duration_ns: int,
    *,
    model: str = "",
    version: int | None = None,
    request_id: str = "",
    header_id: str = "",
    principal: str = "",
    peer: str = "",
    trace_id: str = "",
    error: str = "",
    timeline: Timeline | None = None,
) -> None:
    """Log one request. Nearly free when the outcome's level is off.

    `operation` is `POST /v2/models/{model}/infer` or `inference.GRPCInferenceService/ModelInfer`;
    `status` is HTTP's number or gRPC's name. `request_id` is the one in the request's body, `header_id` that
    of its x-request-id. `timeline`: of an inference, for its times in the queue and in the batch. What is
    empty is left out of the line.
    """
    level = _LEVELS[outcome]
    writer = AccessWriter.open_one
    if writer is not None and outcome == "answered":
        level = writer.level_of_next()
    if not _gate.isEnabledFor(level):
        return
    line = AccessLine(
        level, operation, outcome, status, duration_ns, model, version, request_id, header_id, principal,
        peer, trace_id, error, timeline,
    )  # fmt: skip
    if writer is not None and outcome == "answered":
        writer.add((time.time(), line))
        return
    _log.log(level, operation, **line.fields())


def log_answered(
    operation: str,
    status: int | str,
    timeline: Timeline,
    model: str,
    version: int | None,
    principal: str,
    request_id: str,
    header_id: str,
    trace_id: str,
) -> None:
    """Log an inference that was answered, whose timeline is complete: as log_access does, in less time."""
    writer = AccessWriter.open_one
    if writer is None or not timeline.compute_end_ns or not timeline.ended_ns:
        duration_ns = (timeline.ended_ns or time.monotonic_ns()) - timeline.received_ns
        log_access(
            "answered", operation, status, duration_ns, model=model,
            version=version, request_id=request_id, header_id=header_id, principal=principal,
            trace_id=trace_id, timeline=timeline,
        )  # fmt: skip
        return
    level = logging.INFO if writer.share >= 1.0 else writer.level_of_next()
    if _gate.isEnabledFor(level):
        writer.add(
            (
                level,
                operation,
                status,
                model,
                version,
                principal,
                timeline.received_ns,
                timeline.queue_start_ns,
                timeline.compute_start_ns,
                timeline.compute_end_ns,
                timeline.ended_ns,
                (request_id, header_id, trace_id) if request_id or header_id or trace_id else None,
            )
        )
