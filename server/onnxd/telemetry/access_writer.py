"""Writes the access log's lines in bulk, on a thread of its own: a request pays for a place in a list.

A line of its own through the logging machinery costs as much as a small request. So lines are collected for a
moment, and go as one record, which the handler's formatter writes line by line (logs.py).
"""

import logging
import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, ClassVar, Final, NamedTuple

from onnxd.messages import Timeline
from onnxd.telemetry.bulk_thread import BulkThread

MOST_WAITING: Final = 16384
"""Lines; what comes on top is lost, and counted."""
_COLLECT_S: Final = 0.1
_LINES_A_RECORD: Final = 64


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


class AccessLines(Sequence[tuple[float, AccessLine]]):
    """The message of one record: lines, each with its time in seconds of the Unix epoch."""

    def __init__(self, lines: Sequence[tuple[float, AccessLine]]) -> None:
        self._lines = lines

    def __getitem__(self, index: Any) -> Any:
        return self._lines[index]

    def __len__(self) -> int:
        return len(self._lines)

    def __str__(self) -> str:
        """As a handler writes it that does not know of them."""
        return "\n".join(f"{line.operation} {line.fields()}" for _, line in self._lines)


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
        self._lines: deque[tuple[float, AccessLine]] = deque()
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
        share = self.share
        # Which requests have a line is no secret.
        if share and (share >= 1.0 or random.random() < share):  # noqa: S311
            return logging.INFO
        return logging.DEBUG

    def add(self, line: AccessLine) -> None:
        """Have a line written within a moment. Never blocks."""
        if len(self._lines) >= MOST_WAITING:
            self.dropped += 1
            return
        self._lines.append((time.time(), line))
        self._thread.tell()

    def _write(self) -> None:
        for lines in self._taken():
            record = self._logger.makeRecord(
                self._logger.name, max(line.level for _, line in lines), "", 0, AccessLines(lines), (), None
            )
            self._logger.handle(record)
        if self.dropped > self._told:
            self._logger.warning(
                "%d lines of requests were lost: too many at once", self.dropped - self._told
            )
            self._told = self.dropped

    def _taken(self) -> Iterator[list[tuple[float, AccessLine]]]:
        lines = self._lines
        for _ in range(MOST_WAITING // _LINES_A_RECORD):
            if not lines:
                return
            yield [lines.popleft() for _ in range(min(len(lines), _LINES_A_RECORD))]
