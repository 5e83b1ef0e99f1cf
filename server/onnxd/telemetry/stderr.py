"""A log handler that loses lines rather than hold up the server.

Writing to a pipe that nobody reads blocks, and it would block the event loop. The descriptor cannot be
made non-blocking, because that would change it for every process that shares it. So each piece of a line
is written only when poll says that it fits: a pipe that is ready takes PIPE_BUF bytes at once.
"""

import contextlib
import fcntl
import logging
import os
import select
import stat
from typing import Final

_PIECE_BYTES: Final = select.PIPE_BUF
PIPE_BYTES: Final = 1024 * 1024
"""How much a pipe of ours holds: as much as Linux lets any user have."""
_AT_ONCE_BYTES: Final = 1024 * 1024
_MAX_LINE_BYTES: Final = 64 * 1024


class StderrHandler(logging.Handler):
    """Writes records to a descriptor, and counts in `dropped` the lines that could not be written whole."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.dropped = 0
        self._descriptor = descriptor
        # Fewer calls are not only faster: at each of them another thread may take the interpreter's lock.
        at_once = stat.S_ISREG(os.fstat(descriptor).st_mode) or not os.get_blocking(descriptor)
        self._piece_bytes = _AT_ONCE_BYTES if at_once else _PIECE_BYTES
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._unreported = 0
        self._torn = False

    def emit(self, record: logging.LogRecord) -> None:
        """Never blocks and never raises. Called under the handler's lock."""
        if self._unreported:
            self._report_drops()
        lines: int = getattr(record, "lines", 1)  # several in one record
        try:
            text = self.format(record)
        except Exception:  # a value whose repr raises must not fail the request that is logged
            lost = lines
        else:
            lost = min(self._lost(text, lines * _MAX_LINE_BYTES), lines)
        self.dropped += lost
        self._unreported += lost

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
        if not self._lost(self.format(record), _MAX_LINE_BYTES):
            self._unreported = 0

    def _lost(self, text: str, most_bytes: int) -> int:
        """Write lines; how many could not be written whole. One cut short is ended before the next."""
        data = text.encode("utf-8", "backslashreplace")[:most_bytes]
        whole = (b"\n" if self._torn else b"") + data + b"\n"
        rest = memoryview(whole)
        # A descriptor that is closed, broken or full ends the line: there is nowhere left to say so.
        with contextlib.suppress(OSError):
            while rest and self._poll.poll(0):
                rest = rest[os.write(self._descriptor, rest[: self._piece_bytes]) :]
        if len(rest) < len(whole):
            self._torn = bool(rest)
        return bytes(rest).count(b"\n")


def opened(descriptor: int) -> int:
    """A descriptor of our own for what another one leads to."""
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        # By its name it is opened anew, with flags of its own. Where the pipe is another user's, or nobody
        # reads it, or there is no /proc, it is the same one after all.
        with contextlib.suppress(OSError):
            ours = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            # Lines of requests come in bursts. What a reader has no time for at once is not to be lost.
            with contextlib.suppress(OSError):
                if fcntl.fcntl(ours, fcntl.F_GETPIPE_SZ) < PIPE_BYTES:
                    fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            return ours
    return os.dup(descriptor)


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
