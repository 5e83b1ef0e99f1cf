"""Lines of the access log in the form of the server's log, made in bulk: as structlog would, in less time."""

import logging
import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final, cast

import orjson
import structlog

from onnxd.telemetry.access_json import LEVELS, LOGGER, MAX_CHARACTERS, as_json
from onnxd.telemetry.access_writer import AccessLine, AccessLines, Answered, Entry, line_of
from onnxd.telemetry.escaping import escaped
from onnxd.telemetry.log_settings import LogSettings

_FREE: Final = ("model", "id", "principal", "peer", "error")
"""What clients write themselves; the rest is ours."""
_UNQUOTED: Final = frozenset(" \t=\r\n\"'")
"""Characters that a value on the console does not have, or it is quoted."""


def _is_answered(entry: Entry) -> bool:
    return len(entry) > 2


class AccessForm:
    """How a line is written."""

    def __init__(self, settings: LogSettings, *, json: bool, coloured: bool) -> None:
        """`settings` say how its time is written."""
        self._settings = settings
        self._json = json
        self._console = structlog.dev.ConsoleRenderer(colors=True) if coloured and not json else None

    def lines(self, entries: Sequence[Entry]) -> str:
        """All of them, in their order."""
        offset_ns = time.time_ns() - time.monotonic_ns()
        if self._json and 2 not in set(map(len, entries)):
            return as_json(cast(Iterable[Answered], entries), offset_ns)
        written: list[str] = []
        for answered, some in groupby(entries, _is_answered):
            if answered and self._json:
                written.append(as_json(cast(Iterable[Answered], some), offset_ns))
            elif answered:
                written.extend(
                    [self._line(*line_of(each, offset_ns)) for each in cast(Iterable[Answered], some)]
                )
            else:
                written.extend([self._line(*each) for each in cast(Iterable[tuple[float, AccessLine]], some)])
        return "\n".join(written)

    def _line(self, at_s: float, line: AccessLine) -> str:
        """One line, from a time in seconds of the Unix epoch."""
        fields = line.fields()
        for name in _FREE:
            if name in fields:
                fields[name] = escaped(fields[name], MAX_CHARACTERS)
        level, stamp = LEVELS[line.level], self._settings.stamp_of(at_s)
        if not self._json and self._console is None:
            return _on_console(stamp, level, line.operation, fields)
        fields["event"] = line.operation
        fields["level"] = level
        fields["logger"] = LOGGER
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
            return self._form.lines(record.msg.entries)
        return super().format(record)


def _on_console(stamp: str, level: str, operation: str, fields: dict[str, Any]) -> str:
    """As structlog's ConsoleRenderer has it without colours."""
    values = " ".join([f"{name}={_shown(fields[name])}" for name in sorted(fields)])
    return f"{stamp} [{level:<9}] {operation:<30} [{LOGGER}] {values}"


def _shown(value: object) -> object:
    return repr(value) if isinstance(value, str) and not _UNQUOTED.isdisjoint(value) else value
