"""What the log writes when clients change the settings, read from a real pipe."""

import json
import logging
import os
import re
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import structlog

from onnxd.errors import NotSupported
from onnxd.telemetry.access import log_access
from onnxd.telemetry.log_settings import Level, LogChange, LogSettings
from onnxd.telemetry.logs import LogConfig, log_settings, logging_to_stderr

LEVELS = {"debug", "info", "warning", "error", "critical"}


class Log:
    """An open log whose lines can be read one after the other."""

    def __init__(self, settings: LogSettings, reader: int) -> None:
        self.settings = settings
        self._reader = reader

    def _read(self) -> str:
        return _waiting(self._reader)

    def bulk(self, write: Callable[[], object]) -> list[str]:
        """What `write` logs of requests that went well, which is written a moment later."""
        write()
        select.select([self._reader], [], [], 20)
        return self._read().splitlines()

    def lines(self, write: Callable[[], object]) -> list[str]:
        """What `write` logs."""
        self._read()
        write()
        return self._read().splitlines()

    def shown(self, logger: str = "onnxd.loader") -> set[str]:
        """The levels of our own lines, or of a library's, that are written."""
        log = structlog.stdlib.get_logger(logger)
        lines = self.lines(lambda: [getattr(log, level)("a line") for level in sorted(LEVELS)])
        return {level for level in LEVELS for line in lines if f"[{level}" in line or f'"{level}"' in line}


@contextmanager
def opened(config: LogConfig) -> Iterator[Log]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    settings = log_settings(config)
    try:
        with logging_to_stderr(config, writer, settings=settings):
            yield Log(settings, reader)
    finally:
        os.close(reader)
        os.close(writer)


def _waiting(descriptor: int) -> str:
    try:
        return os.read(descriptor, 2**16).decode()
    except BlockingIOError:
        return ""


@pytest.fixture
def log() -> Iterator[Log]:
    with opened(LogConfig()) as opening:
        yield opening


@pytest.mark.parametrize(
    ("level", "hidden"),
    [
        ("debug", set()),
        ("info", {"debug"}),
        ("warning", {"debug", "info"}),
        ("error", {"debug", "info", "warning"}),
    ],
)
def test_what_is_shown_at_first_follows_the_level_of_the_start(level: Level, hidden: set[str]) -> None:
    with opened(LogConfig(level)) as log:
        assert log.shown() == LEVELS - hidden
        view = log.settings.view
        assert (view.verbose_level > 0, view.info, view.warning, view.error) == tuple(
            each in LEVELS - hidden for each in ("debug", "info", "warning", "error")
        )


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"verbose_level": 1}, LEVELS),
        ({"verbose_level": 7}, LEVELS),
        ({"info": False}, {"warning", "error", "critical"}),
        ({"warning": False}, {"info", "error", "critical"}),
        ({"error": False}, {"info", "warning", "critical"}),
        ({"verbose_level": 1, "info": False, "error": False}, {"debug", "warning", "critical"}),
        ({"info": False, "warning": False, "error": False}, {"critical"}),
    ],
)
def test_each_kind_of_line_is_switched_by_itself(log: Log, change: LogChange, shown: set[str]) -> None:
    log.settings.update(change)
    assert log.shown() == shown
    log.settings.update({"verbose_level": 0, "info": True, "warning": True, "error": True})
    assert log.shown() == LEVELS - {"debug"}


def test_libraries_stay_at_warnings_and_can_be_silenced(log: Log) -> None:
    log.settings.update({"verbose_level": 1})
    assert log.shown("some.library") == {"warning", "error", "critical"}
    log.settings.update({"warning": False})
    assert log.shown("some.library") == {"error", "critical"}


def test_requests_are_logged_one_by_one_once_it_is_verbose(log: Log) -> None:
    def answer() -> None:
        log_access("answered", "GET /v2", 200, 1_000_000)

    assert log.lines(answer) == []
    log.settings.update({"verbose_level": 1})
    log.lines(lambda: None)
    (line,) = log.bulk(answer)
    assert "GET /v2" in line


def test_the_change_that_silences_the_log_is_its_last_line(log: Log) -> None:
    silence: LogChange = {"info": False, "warning": False, "error": False}
    (line,) = log.lines(lambda: log.settings.update(silence))
    assert "log settings changed" in line
    assert "error=False" in line


def test_the_change_that_ends_the_silence_is_its_first_line(log: Log) -> None:
    log.settings.update({"info": False})
    assert log.lines(lambda: log.settings.update({"verbose_level": 1})) == []
    (line,) = log.lines(lambda: log.settings.update({"info": True}))
    assert "info=True" in line


@pytest.mark.parametrize(
    ("form", "time"),
    [("default", r"\d{4} \d\d:\d\d:\d\d\.\d{6} "), ("ISO8601", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ")],
)
def test_lines_give_their_time_in_the_form_that_was_set(log: Log, form: str, time: str) -> None:
    log.settings.update({"format": "default"})
    if form == "ISO8601":
        log.settings.update({"format": "ISO8601"})
    for line in (
        *log.lines(lambda: structlog.stdlib.get_logger("onnxd.loader").warning("ours")),
        *log.lines(lambda: logging.getLogger("some.library").warning("theirs")),
    ):
        assert re.match(time, line)


def test_a_log_for_machines_keeps_its_form_of_time() -> None:
    with opened(LogConfig(format="json")) as log:
        with pytest.raises(NotSupported, match=r"log\.format"):
            log.settings.update({"format": "default", "info": False})
        log.settings.update({"format": "ISO8601"})
        (line,) = log.lines(lambda: structlog.stdlib.get_logger("onnxd.loader").info("here"))
    assert json.loads(line)["timestamp"].endswith("Z")
    assert log.settings.view.info


def test_the_levels_of_the_loggers_are_as_before_when_the_log_is_closed() -> None:
    before = logging.getLogger().level, logging.getLogger("onnxd").level
    with opened(LogConfig()) as log:
        log.settings.update({"error": False, "verbose_level": 1})
    assert (logging.getLogger().level, logging.getLogger("onnxd").level) == before
    log.settings.update({"warning": False})
    assert (logging.getLogger().level, logging.getLogger("onnxd").level) == before
