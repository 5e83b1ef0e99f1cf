"""The server's log: structlog, on standard error, for people (console) or machines (json).

Libraries that log through the standard library come out in the same form. Control characters in values
are escaped, so that nothing a client sends can forge a line or drive a terminal.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import orjson
import structlog
from annotated_types import Interval
from structlog.typing import EventDict, Processor, WrappedLogger

from onnxd.telemetry.access_form import AccessForm, AccessFormatter
from onnxd.telemetry.access_writer import AccessWriter
from onnxd.telemetry.escaping import escaped
from onnxd.telemetry.log_settings import LogSettings
from onnxd.telemetry.stderr import OncePerInterval, StderrHandler, opened

_STDERR: Final = 2
_MAX_NESTING: Final = 4


@dataclass(frozen=True)
class LogConfig:
    """How much is logged, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Of the server's own lines; at `debug` there is one for each request. Libraries: warnings and up."""
    format: Literal["console", "json"] = "console"
    """console: for people; json: an object a line, for machines."""
    access: Annotated[float, Interval(ge=0.0, le=1.0)] = 0.0
    """Share of the requests that succeed which have a line at level info; those that fail always have one."""


def log_settings(config: LogConfig) -> LogSettings:
    """What clients may change of a log that is configured like this."""
    return LogSettings(config.level, for_machines=config.format == "json")


@contextlib.contextmanager
def logging_to_stderr(
    config: LogConfig,
    descriptor: int | None = None,
    *,
    settings: LogSettings | None = None,
    worker: int | None = None,
) -> Iterator[StderrHandler]:
    """Send all logging to standard error while the context lasts; afterwards it is as it was before.

    A slow, full or closed descriptor loses lines, which `StderrHandler.dropped` counts; it never blocks
    the caller. `descriptor`: another one to write to; it stays the caller's. `settings`: of the same
    config; to change them changes the log at once. `worker`: the number that each line gives as its source.
    """
    settings = settings or log_settings(config)
    with _duplicate(descriptor) as output:
        handler = StderrHandler(output)
        handler.setFormatter(_formatter(config, settings, worker, coloured=os.isatty(output)))
        handler.addFilter(settings)
        handler.addFilter(OncePerInterval("opentelemetry", 60.0))
        access = AccessWriter(logging.getLogger("onnxd.access"), config.access)
        with _stdlib_logging_to(handler), settings.in_force(), _structlog_to_stdlib(), access:
            yield handler


@contextlib.contextmanager
def _duplicate(descriptor: int | None) -> Iterator[int]:
    """A descriptor of our own: were number 2 closed, the next file or socket to be opened would get it."""
    if descriptor is None and sys.__stderr__ is None:  # closed before the interpreter started
        output = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    else:
        output = opened(_STDERR if descriptor is None else descriptor)
    try:
        yield output
    finally:
        os.close(output)


@contextlib.contextmanager
def _stdlib_logging_to(handler: logging.Handler) -> Iterator[None]:
    root = logging.getLogger()
    handlers = root.handlers
    root.handlers = [handler]
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers = handlers


@contextlib.contextmanager
def _structlog_to_stdlib() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(
        processors=[*_COMMON, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


_COMMON: Final[list[Processor]] = [
    structlog.stdlib.filter_by_level,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
]


def _formatter(
    config: LogConfig, settings: LogSettings, worker: int | None, *, coloured: bool
) -> logging.Formatter:
    renderer: Processor
    if config.format == "json":
        renderer = structlog.processors.JSONRenderer(serializer=_to_json)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=coloured)
    return AccessFormatter(
        AccessForm(settings, json=config.format == "json", coloured=coloured),
        foreign_pre_chain=_COMMON[1:],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            settings.stamp,
            *(() if worker is None else (_numbered(worker),)),
            structlog.processors.format_exc_info,
            escape_control_characters,
            renderer,
        ],
    )


def _numbered(worker: int) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["worker"] = worker
        return event

    return add


def _to_json(event: Mapping[str, Any], **_: object) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def escape_control_characters(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make every value one line of printable characters; a traceback keeps its lines, each indented."""
    traceback = event.pop("exception", None)
    printable: EventDict = {key: _printable(value) for key, value in event.items()}
    if traceback is not None:
        # Indented, so that a line inside an exception's message cannot pass for a line of the log.
        printable["exception"] = "\n".join("    " + escaped(line) for line in str(traceback).split("\n"))
    return printable


def _printable(value: object, nesting: int = 0) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if nesting < _MAX_NESTING:
        if isinstance(value, Mapping):
            return {escaped(str(key)): _printable(item, nesting + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [_printable(item, nesting + 1) for item in value]
    return escaped(value if isinstance(value, str) else repr(value))
