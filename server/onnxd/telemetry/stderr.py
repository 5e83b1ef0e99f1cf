"""A log handler that loses lines rather than hold up the server.

Writing to a pipe that nobody reads blocks, and it would block the event loop. The descriptor cannot be
made non-blocking, because that would change it for every process that shares it. So each piece of a line
is written only when poll says that it fits: a pipe that is ready takes PIPE_BUF bytes at once.
"""

import contextlib
import logging
import os
import select
from typing import Final

_PIECE_BYTES: Final = select.PIPE_BUF
_MAX_LINE_BYTES: Final = 64 * 1024


class StderrHandler(logging.Handler):
    """Writes records to a descriptor, and counts in `dropped` the lines that could not be written whole."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.dropped = 0
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._unreported = 0
        self._torn = False

    def emit(self, record: logging.LogRecord) -> None:
        """Never blocks and never raises. Called under the handler's lock."""
        if self._unreported:
            self._report_drops()
        try:
            line = self.format(record)
        except Exception:  # a value whose repr raises must not fail the request that is logged
            written = False
        else:
            written = self._write_line(line)
        if not written:
            self.dropped += 1
            self._unreported += 1

    def _report_drops(self) -> None:
        """Say how many lines are missing, at the first chance."""
        record = logging.LogRecord(
            "onnxd.log",
            logging.WARNING,
            pathname="",
            lineno=0,
            msg="%d log lines were lost: they could not be written",
            args=(self._unreported,),
            exc_info=None,
        )
        if self._write_line(self.format(record)):
            self._unreported = 0

    def _write_line(self, line: str) -> bool:
        """Whether the whole line was written. A line cut short is ended before the next one."""
        data = line.encode("utf-8", "backslashreplace")[:_MAX_LINE_BYTES]
        whole = (b"\n" if self._torn else b"") + data + b"\n"
        rest = memoryview(whole)
        # A descriptor that is closed, broken or full ends the line: there is nowhere left to say so.
        with contextlib.suppress(OSError):
            while rest and self._poll.poll(0):
                rest = rest[os.write(self._descriptor, rest[:_PIECE_BYTES]) :]
        if len(rest) < len(whole):
            self._torn = bool(rest)
        return not rest


class OncePerInterval(logging.Filter):
    """Lets one record through per interval for each logger under a name; the others are counted.

    For libraries that report the same trouble again and again, as an exporter does while its collector
    is down.
    """

    def __init__(self, name: str, interval_s: float) -> None:
        super().__init__(name)
        self._interval_s = interval_s
        self._last: dict[str, float] = {}
        self._withheld: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not super().filter(record):
            return True  # not one of those under the name
        last = self._last.get(record.name)
        if last is not None and record.created - last < self._interval_s:
            self._withheld[record.name] = self._withheld.get(record.name, 0) + 1
            return False
        self._last[record.name] = record.created
        if withheld := self._withheld.pop(record.name, 0):
            record.msg = f"{record.getMessage()} (and {withheld} more since the last line)"
            record.args = ()
        return True
