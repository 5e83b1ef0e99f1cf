"""Writes the access log's lines in bulk, on a thread of its own: a request pays for a place in a list.

A line of its own through the logging machinery costs as much as a small request. So lines are collected for a
moment, and go as one record, which the handler's formatter writes line by line (logs.py).
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias

from onnxd.messages import Timeline
from onnxd.telemetry.bulk_thread import BulkThread
from onnxd.telemetry.sampling import gaps_at_random

MOST_WAITING: Final = 16384
"""Lines; what comes on top is lost, and counted."""
_COLLECT_S: Final = 0.1
_LINES_A_RECORD: Final = 256
"""Made in one go, in a fraction of a millisecond, while the loop stands still."""

Kind: TypeAlias = tuple[int, str, int | str, str, int | None, str]
"""What most lines share: level, operation, status, model, version, principal."""
Ids: TypeAlias = tuple[str, str, str]
"""request_id, header_id, and trace_id of an AccessLine."""
Answered: TypeAlias = tuple[int, str, int | str, str, int | None, str, int, int, int, int, int, Ids | None]
"""An inference that was answered, put down as cheaply as can be: its kind; when it was received,
came to the queue, was taken from it, was split from its batch, and was over, in nanoseconds of
time.monotonic_ns(); and its identifiers, if it has any."""


class AccessLine(NamedTuple):
    """What log_access was told, and when."""

    level: int
    operation: str
    outcome: str
    status: int | str
    duration_ns: int
    model: str = ""
    version: int | None = None
    request_id: str = ""
    header_id: str = ""
    principal: str = ""
    peer: str = ""
    trace_id: str = ""
    error: str = ""
    timeline: Timeline | None = None

    def times(self) -> dict[str, float]:
        """Those in the queue and in the batch, as far as the request came."""
        timeline = self.timeline
        if timeline is None or not timeline.compute_start_ns:
            return {}
        taken_ns = timeline.compute_start_ns
        times = {"queue_ms": ms(taken_ns - timeline.queue_start_ns)}
        if timeline.compute_end_ns:
            times["compute_ms"] = ms(timeline.compute_end_ns - taken_ns)
        return times

    def fields(self) -> dict[str, Any]:
        """The line's values by their names in the log, without those that are empty."""
        fields: dict[str, Any] = {
            "outcome": self.outcome,
            "status": self.status,
            "duration_ms": ms(self.duration_ns),
        }
        fields.update(self.times())
        # Written out: of a server that logs all its requests, each pays for this.
        if self.model:
            fields["model"] = self.model
        if self.version is not None:
            fields["version"] = self.version
        if self.request_id:
            fields["id"] = self.request_id
        if self.header_id:
            fields["request_id"] = self.header_id
        if self.principal:
            fields["principal"] = self.principal
        if self.peer:
            fields["peer"] = self.peer
        if self.trace_id:
            fields["trace_id"] = self.trace_id
        if self.error:
            fields["error"] = self.error
        return fields


def ms(ns: int) -> float:
    """Milliseconds, rounded to microseconds."""
    return (ns + 500) // 1000 / 1000


Entry: TypeAlias = Answered | tuple[float, AccessLine]
"""A line, from the time of the Unix epoch that stands first; or what one is made of."""


def line_of(answered: Answered, offset_ns: int) -> tuple[float, AccessLine]:
    """The line of an inference. `offset_ns`: from time.monotonic_ns() to the Unix epoch."""
    level, operation, status, model, version, principal, *times, ids = answered
    received_ns, queue_ns, taken_ns, split_ns, ended_ns = times
    timeline = Timeline(
        received_ns, queue_start_ns=queue_ns, compute_start_ns=taken_ns, compute_end_ns=split_ns
    )
    request_id, header_id, trace_id = ids or ("", "", "")
    line = AccessLine(
        level, operation, "answered", status, ended_ns - received_ns, model, version, request_id, header_id,
        principal, "", trace_id, "", timeline,
    )  # fmt: skip
    return (offset_ns + ended_ns) / 1e9, line


class AccessLines:
    """The message of one record: several lines."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries

    def __str__(self) -> str:
        """As a handler writes it that does not know of them."""
        offset_ns = time.time_ns() - time.monotonic_ns()
        lines = (line_of(entry, offset_ns) if len(entry) > 2 else entry for entry in self.entries)
        return "\n".join(f"{line.operation} {line.fields()}" for _, line in lines)


class AccessWriter:
    """A context manager: it takes lines while it is open, and has written them when it is closed."""

    open_one: ClassVar["AccessWriter | None"] = None
    """The log is the process's, and so is the writer of it."""

    def __init__(self, logger: logging.Logger, share: float) -> None:
        """`share` of the answered requests have their line at level info."""
        self.dropped = 0
        self.share = share
        self._logger = logger
        self._told = 0
        self._entries: deque[Entry] = deque()
        self._gap: Callable[[], int] | None = gaps_at_random(share) if share < 1.0 else None
        self._passed_by = 0 if self._gap is None else self._gap()
        self._thread = BulkThread(self._write, collect_s=_COLLECT_S, name="onnxd-access-log")

    def __enter__(self) -> "AccessWriter":
        self._thread.start()
        self._before, AccessWriter.open_one = AccessWriter.open_one, self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        AccessWriter.open_one = self._before
        self._thread.stop()

    def level_of_next(self) -> int:
        """The level of an answered request's line."""
        if self.share >= 1.0:
            return logging.INFO
        if self._gap is None:
            return logging.DEBUG
        if self._passed_by:
            self._passed_by -= 1
            return logging.DEBUG
        self._passed_by = self._gap()
        return logging.INFO

    def add(self, entry: Entry) -> None:
        """Have a line written within a moment. Never blocks."""
        entries = self._entries
        if len(entries) >= MOST_WAITING:
            self.dropped += 1
            return
        entries.append(entry)
        if self._thread.idle:
            self._thread.tell()

    def _write(self) -> None:
        for entries in self._taken():
            level = logging.INFO if self.share >= 1.0 else max(map(_level_of, entries))
            record = self._logger.makeRecord(
                self._logger.name, level, "", 0, AccessLines(entries), (), None, extra={"lines": len(entries)}
            )
            self._logger.handle(record)
        if self.dropped > self._told:
            self._logger.warning(
                "%d lines of requests were lost: too many at once", self.dropped - self._told
            )
            self._told = self.dropped

    def _taken(self) -> Iterator[list[Entry]]:
        entries = self._entries
        for _ in range(MOST_WAITING // _LINES_A_RECORD):
            if not entries:
                return
            yield [entries.popleft() for _ in range(min(len(entries), _LINES_A_RECORD))]


def _level_of(entry: Entry) -> int:
    return entry[0] if len(entry) > 2 else entry[1].level
