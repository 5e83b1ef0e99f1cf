"""The audit log: who did which admin operation to what, with which result, and who was refused.

Each record is a line of the server's log, at level info, and, with a file, an object a line there. A
record has names and results, never a credential or a payload.
"""

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import orjson
import structlog

_log: Final[structlog.stdlib.BoundLogger] = structlog.stdlib.get_logger("onnxd.audit")
_file_log: Final = logging.getLogger("onnxd.audit.file")
_MOST_CHARACTERS: Final = 1024

Outcome = Literal["answered", "refused", "failed"]


class AuditUnusable(OSError):
    """The audit log cannot be written. For the operator at start-up."""


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """The record of admin operations, and of callers that were refused."""

    file: Path | None = None
    """A file that records are appended to, a JSON object a line; they are in the server's log in any case."""


@contextlib.contextmanager
def open_audit(config: AuditConfig) -> Iterator[None]:
    """Records go to the file while the context lasts. Raises AuditUnusable."""
    if config.file is None:
        yield
        return
    try:
        descriptor = os.open(config.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AuditUnusable(
            f"cannot append to the audit log {config.file}: {error.strerror}; "
            "name another file with --audit-file"
        ) from error
    # One write a line, so that servers may share a file.
    with os.fdopen(descriptor, "a", buffering=1, encoding="utf-8") as file:
        handler = logging.StreamHandler(file)
        _file_log.addHandler(handler)
        _file_log.setLevel(logging.INFO)
        _file_log.propagate = False
        try:
            yield
        finally:
            _file_log.removeHandler(handler)


def record(
    operation: str,
    outcome: Outcome,
    status: int | str,
    *,
    principal: str,
    peer: str,
    method: str,
    model: str = "",
    reason: str = "",
) -> None:
    """One admin operation, or one refusal. `operation`: its row in the table of permissions; `method`: the
    route or the gRPC method that it came by."""
    fields = {
        "operation": operation,
        "outcome": outcome,
        "status": status,
        "principal": principal,
        "peer": peer,
        "method": method,
        "model": model,
        "reason": reason[:_MOST_CHARACTERS],
    }
    _log.info("audit", **{key: value for key, value in fields.items() if value != ""})
    if _file_log.handlers:
        line = {"time": round(time.time(), 3), **fields}
        _file_log.info("%s", orjson.dumps(line, default=repr).decode("utf-8", "replace"))
