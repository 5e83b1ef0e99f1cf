"""What must not be in a log after a test, whatever its client did."""

import logging
import sys

import pytest
from structlog._config import BoundLoggerLazyProxy


def errors_logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The errors that the test's body logged."""
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    return [record for record in errors if not _of_a_loop_that_is_gone(record)]


def _of_a_loop_that_is_gone(record: logging.LogRecord) -> bool:
    """grpc.aio has one queue of events a process, and tests have a loop each: what comes late for a loop that
    a test has closed is told to asyncio's log. A server has one loop for all its life."""
    return (
        record.name == "asyncio"
        and "PollerCompletionQueue" in record.getMessage()
        and record.exc_info is not None
        and "Event loop is closed" in str(record.exc_info[1])
    )


def forget_loggers() -> None:
    """Let our modules' loggers look at structlog's configuration again. A test that has run the server's own
    logging leaves them bound to it, and capture_logs would see nothing of them."""
    for name, module in tuple(sys.modules.items()):
        if name.startswith("onnxd."):
            for value in vars(module).values():
                if isinstance(value, BoundLoggerLazyProxy):
                    vars(value).pop("bind", None)
