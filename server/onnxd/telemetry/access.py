"""The access log: one line for each request that is over.

Requests that succeed are logged at `debug`, refused ones at `info` and failures of the server at
`warning`, so the default level shows what went wrong and costs nothing for what went well.
"""

import logging
from typing import Final, Literal

import structlog

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


def log_access(
    outcome: Outcome,
    operation: str,
    status: int | str,
    duration_ns: int,
    *,
    model: str = "",
    version: int | None = None,
    request_id: str = "",
    principal: str = "",
    peer: str = "",
    trace_id: str = "",
    error: str = "",
) -> None:
    """Log one request. Nearly free when the outcome's level is off.

    `operation` is `POST /v2/models/{model}/infer` or `inference.GRPCInferenceService/ModelInfer`;
    `status` is HTTP's number or gRPC's name. What is empty is left out of the line.
    """
    level = _LEVELS[outcome]
    if not _gate.isEnabledFor(level):
        return
    optional = {
        "model": model,
        "version": version,
        "id": request_id,
        "principal": principal,
        "peer": peer,
        "trace_id": trace_id,
        "error": error,
    }
    _log.log(
        level,
        operation,
        outcome=outcome,
        status=status,
        duration_ms=round(duration_ns / 1e6, 3),
        **{key: value for key, value in optional.items() if value not in (None, "")},
    )
