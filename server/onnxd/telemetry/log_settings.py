"""What of the log is written, as clients may change it while the server runs."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal, TypedDict

import structlog
from structlog.processors import TimeStamper
from structlog.typing import EventDict, WrappedLogger

from onnxd.errors import NotSupported

Level = Literal["debug", "info", "warning", "error"]
TimeForm = Literal["default", "ISO8601"]

_OURS: Final = "onnxd"
_DEFAULT_TIME: Final = "%m%d %H:%M:%S.%f"
_TIMES: Final[dict[TimeForm, TimeStamper]] = {
    "default": TimeStamper(fmt=_DEFAULT_TIME, utc=True),
    "ISO8601": TimeStamper(fmt="iso", utc=True),
}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LogView:
    """What is written. Failures of the process itself (critical) always are."""

    info: bool
    warning: bool
    error: bool
    verbose_level: int
    """Above 0: the debug lines too, of which there is one for each request."""
    format: TimeForm
    """How a line gives its time: ISO8601, or month, day and time of day as Triton's default has it."""


class LogChange(TypedDict, total=False):
    """What an update mentions."""

    info: bool
    warning: bool
    error: bool
    verbose_level: int
    format: TimeForm


@lru_cache(maxsize=4)
def _iso_second(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class LogSettings(logging.Filter):
    """The filter of the server's log handler, and the levels of the loggers that go with it."""

    def __init__(self, level: Level = "info", *, for_machines: bool = False) -> None:
        """`level`: at the start. `for_machines`: lines are JSON, whose readers expect one form of time."""
        super().__init__()
        self._for_machines = for_machines
        self._in_force = False
        self.view = LogView(
            info=level in ("debug", "info"),
            warning=level != "error",
            error=True,
            verbose_level=int(level == "debug"),
            format="ISO8601",
        )

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        return self._passes(record.levelno)

    def stamp(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Write the time into a line. A processor of structlog."""
        return _TIMES[self.view.format](logger, method, event)

    def stamp_of(self, epoch_s: float) -> str:
        """The same time as `stamp` would write."""
        if self.view.format == "default":
            return datetime.fromtimestamp(epoch_s, UTC).strftime(_DEFAULT_TIME)
        second = int(epoch_s)
        return f"{_iso_second(second)}.{int((epoch_s - second) * 1e6):06d}Z"

    def update(self, change: LogChange) -> None:
        """Change what is mentioned. Raises NotSupported for another form of time in a log for machines."""
        after = replace(self.view, **change)
        if self._for_machines and after.format != "ISO8601":
            raise NotSupported(
                "log_format 'default' is not supported here: this server logs JSON (setting log.format), "
                "whose times are always ISO8601"
            )
        told = self.view.info
        if told:  # before it holds: a change that silences the log is its last line
            _log.info("log settings changed", **asdict(after))
        self.view = after
        if self._in_force:
            self._set_levels()
        if not told:
            _log.info("log settings changed", **asdict(after))

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Set the levels of the loggers while the context lasts; afterwards they are as before."""
        root, ours = logging.getLogger(), logging.getLogger(_OURS)
        before = root.level, ours.level
        self._in_force = True
        self._set_levels()
        try:
            yield
        finally:
            self._in_force = False
            root.setLevel(before[0])
            ours.setLevel(before[1])

    def _set_levels(self) -> None:
        """So that what is not written costs next to nothing."""
        lowest = next(filter(self._passes, range(logging.DEBUG, logging.CRITICAL + 1, 10)))
        logging.getLogger(_OURS).setLevel(lowest)
        logging.getLogger().setLevel(max(lowest, logging.WARNING))

    def _passes(self, level: int) -> bool:
        view = self.view
        if level >= logging.CRITICAL:
            return True
        if level >= logging.ERROR:
            return view.error
        if level >= logging.WARNING:
            return view.warning
        return view.info if level >= logging.INFO else view.verbose_level > 0
