"""Lines of the access log in the form of the server's log, made in bulk: as structlog would, in less time."""

import logging
from functools import lru_cache
from typing import Any, Final

import orjson
import structlog

from onnxd.telemetry.access_writer import AccessLine, AccessLines
from onnxd.telemetry.escaping import escaped
from onnxd.telemetry.log_settings import LogSettings

_LOGGER: Final = "onnxd.access"
_MAX_CHARACTERS: Final = 256
"""Of a value: several lines are written at once."""
_FREE: Final = ("model", "id", "principal", "peer", "error")
"""What clients write themselves; the rest is ours."""
_LEVELS: Final = {level: logging.getLevelName(level).lower() for level in (logging.DEBUG, logging.INFO)}
_UNQUOTED: Final = frozenset(" \t=\r\n\"'")
"""Characters that a value on the console does not have, or it is quoted."""


class AccessForm:
    """How a line is written."""

    def __init__(self, settings: LogSettings, *, json: bool, coloured: bool) -> None:
        """`settings` say how its time is written."""
        self._settings = settings
        self._json = json
        self._console = structlog.dev.ConsoleRenderer(colors=True) if coloured and not json else None

    def line(self, at_s: float, line: AccessLine) -> str:
        """One line, from a time in seconds of the Unix epoch."""
        if self._json and not line.error and not line.peer:
            return _as_json(self._settings.stamp_of(at_s), line)
        fields = line.fields()
        for name in _FREE:
            if name in fields:
                fields[name] = escaped(fields[name], _MAX_CHARACTERS)
        level, stamp = _LEVELS[line.level], self._settings.stamp_of(at_s)
        if not self._json and self._console is None:
            return _on_console(stamp, level, line.operation, fields)
        fields["event"] = line.operation
        fields["level"] = level
        fields["logger"] = _LOGGER
        fields["timestamp"] = stamp
        if self._console is not None:
            return self._console(None, "", fields)
        return orjson.dumps(fields).decode()


class AccessFormatter(structlog.stdlib.ProcessorFormatter):
    """Formats records of structlog and of others, and those that hold lines of the access log."""

    def __init__(self, form: AccessForm, **pipeline: Any) -> None:
        super().__init__(**pipeline)
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, AccessLines):
            return "\n".join([self._form.line(at_s, line) for at_s, line in record.msg])
        return super().format(record)


def _as_json(stamp: str, line: AccessLine) -> str:
    """The same as serializing all of it, in a third of the time: most of it is the same for most lines."""
    head = _json_head(
        line.level, line.operation, line.outcome, line.status, line.model, line.version, line.principal
    )
    parts = [head, f'"duration_ms":{_ms(line.duration_ns)}']
    timeline = line.timeline
    if timeline is not None and timeline.compute_end_ns:
        taken_ns = timeline.compute_start_ns
        parts.append(
            f'"queue_ms":{_ms(taken_ns - timeline.queue_start_ns)},'
            f'"compute_ms":{_ms(timeline.compute_end_ns - taken_ns)}'
        )
    if line.request_id:
        parts.append(f'"id":{orjson.dumps(escaped(line.request_id, _MAX_CHARACTERS)).decode()}')
    if line.header_id:
        parts.append(f'"request_id":"{line.header_id}"')
    if line.trace_id:
        parts.append(f'"trace_id":"{line.trace_id}"')
    return f'{",".join(parts)},"timestamp":"{stamp}"}}'


def _ms(ns: int) -> str:
    us = (ns + 500) // 1000
    return f"{us // 1000}.{us % 1000:03}"


@lru_cache(maxsize=1024)
def _json_head(
    level: int,
    operation: str,
    outcome: str,
    status: int | str,
    model: str,
    version: int | None,
    principal: str,
) -> str:
    """Its beginning, without an end."""
    fields: dict[str, Any] = {
        "event": operation,
        "outcome": outcome,
        "status": status,
        "level": _LEVELS[level],
        "logger": _LOGGER,
    }
    if model:
        fields["model"] = escaped(model, _MAX_CHARACTERS)
    if version is not None:
        fields["version"] = version
    if principal:
        fields["principal"] = escaped(principal, _MAX_CHARACTERS)
    return orjson.dumps(fields).decode()[:-1]


def _on_console(stamp: str, level: str, operation: str, fields: dict[str, Any]) -> str:
    """As structlog's ConsoleRenderer has it without colours."""
    values = " ".join([f"{name}={_shown(fields[name])}" for name in sorted(fields)])
    return f"{stamp} [{level:<9}] {operation:<30} [{_LOGGER}] {values}"


def _shown(value: object) -> object:
    return repr(value) if isinstance(value, str) and not _UNQUOTED.isdisjoint(value) else value
