"""What comes out on standard error, read from a real pipe."""

import json
import logging
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any, Literal

import pytest
import structlog

from onnxd.telemetry import stderr
from onnxd.telemetry.access import Outcome, log_access
from onnxd.telemetry.logs import LogConfig, logging_to_stderr

Level = Literal["debug", "info", "warning", "error"]


def logged(write: Callable[[], None], level: Level = "info") -> str:
    """The console form of what `write` logs."""
    return _collected(write, LogConfig(level, "console"))


def logged_json(write: Callable[[], None], level: Level = "info") -> list[dict[str, Any]]:
    return [json.loads(line) for line in _collected(write, LogConfig(level, "json")).splitlines()]


def _collected(write: Callable[[], None], config: LogConfig) -> str:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as output:
        with logging_to_stderr(config, writer):
            write()
        os.close(writer)
        return output.read().decode()


def our_log() -> structlog.stdlib.BoundLogger:
    log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("onnxd.loader")
    return log


def test_a_line_on_the_console_has_time_level_event_and_values() -> None:
    line = logged(lambda: our_log().info("model loaded", model="digits", version=2))
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT[\d:.]+Z \[info     \] model loaded +\[onnxd\.loader\] model=digits version=2\n",
        line,
    )


def test_a_line_for_machines_is_one_json_object() -> None:
    (line,) = logged_json(lambda: our_log().info("model loaded", model="digits", shape=(1, 64)))
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "model loaded",
        "level": "info",
        "logger": "onnxd.loader",
        "model": "digits",
        "shape": [1, 64],
    }


@pytest.mark.parametrize(("level", "shown"), [("info", ["warning", "info"]), ("warning", ["warning"])])
def test_lines_below_the_level_are_left_out(level: Level, shown: list[str]) -> None:
    def write() -> None:
        our_log().warning("a")
        our_log().info("b")
        our_log().debug("c")

    assert [line["level"] for line in logged_json(write, level)] == shown


def test_libraries_come_out_in_the_same_form_from_warning_up() -> None:
    def write() -> None:
        library = logging.getLogger("some.library")
        library.warning("took %d s", 3)
        library.info("not shown")

    (line,) = logged_json(write)
    assert (line["event"], line["level"], line["logger"]) == ("took 3 s", "warning", "some.library")


def test_warnings_are_logged() -> None:
    def write() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn("old form", UserWarning, stacklevel=1)

    (line,) = logged_json(write)
    assert "old form" in line["event"]


@pytest.mark.parametrize(
    "text",
    ["a\nforged line", "\x1b[31mred", "\x00", "\x7f", "\x9b31m", "\u202eright to left", "\udcff", "\u2028"],
    ids=["newline", "escape", "null", "delete", "C1", "direction", "surrogate", "line separator"],
)
@pytest.mark.parametrize("form", ["console", "json"])
def test_control_characters_are_escaped(text: str, form: Literal["console", "json"]) -> None:
    def write() -> None:
        our_log().info("event " + text, value=text, nested={text: [text]}, other=ValueError(text))
        logging.getLogger("library").warning("%s", text)

    output = _collected(write, LogConfig("info", form))
    assert output.count("\n") == 2
    assert output.replace("\n", "").isprintable()


def test_a_traceback_keeps_its_lines_and_none_of_them_can_pass_for_a_line_of_the_log() -> None:
    def write() -> None:
        try:
            raise ValueError("bad\n2030-01-01T00:00:00Z [info] forged \x1b[0m")
        except ValueError:
            our_log().exception("request failed")

    first, *rest = logged(write).splitlines()
    assert "request failed" in first
    assert "    Traceback (most recent call last):" in rest
    assert r"    2030-01-01T00:00:00Z [info] forged \x1b[0m" in rest
    assert all(line.startswith("    ") for line in rest)


def test_a_very_long_value_is_cut() -> None:
    (line,) = logged_json(lambda: our_log().info("x", value="a" * 1_000_000))
    assert line["value"] == "a" * 4096 + "... (1000000 characters)"


def test_a_value_that_cannot_be_shown_costs_only_its_line() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    def write() -> None:
        our_log().info("lost", value=Hostile())
        our_log().info("kept")

    assert [line["event"] for line in logged_json(write)] == [
        "1 log lines were lost: they could not be written",
        "kept",
    ]


def test_a_pipe_that_nobody_reads_loses_lines_and_says_how_many() -> None:
    reader, writer = os.pipe()
    with logging_to_stderr(LogConfig(format="json"), writer) as handler:
        for number in range(2000):
            our_log().info("line", number=number, filler="x" * 1000)
        kept = [json.loads(line) for line in _available(reader)]
        our_log().info("after")
        later = [json.loads(line)["event"] for line in _available(reader)]
    os.close(writer)
    os.close(reader)
    assert [line["number"] for line in kept] == list(range(2000 - handler.dropped))
    assert 0 < handler.dropped < 2000
    assert later == [f"{handler.dropped} log lines were lost: they could not be written", "after"]


def test_a_line_that_was_cut_short_does_not_run_into_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(stderr, "PIPE_BYTES", 0)
    with logging_to_stderr(LogConfig(format="json"), writer) as handler:
        our_log().info("too long for the pipe", **{f"value{n}": "x" * 4000 for n in range(30)})
        _available(reader)
        our_log().info("after")
        rest, *lines = _available(reader)
    os.close(writer)
    os.close(reader)
    assert handler.dropped == 1
    assert rest == b""
    assert json.loads(lines[-1])["event"] == "after"


def _available(descriptor: int) -> list[bytes]:
    """What lies in the pipe now."""
    return os.read(descriptor, 1 << 20).splitlines()


def test_a_pipe_is_written_without_waiting_and_stays_as_it_is_for_others() -> None:
    reader, writer = os.pipe()
    with logging_to_stderr(LogConfig(format="json", access=1.0), writer):
        assert os.get_blocking(writer)
        for number in range(3000):  # more than a pipe holds that nobody made bigger
            log_access("answered", "GET /v2", 200, number)
    os.close(writer)
    with os.fdopen(reader) as output:
        assert len(output.readlines()) == 3000


def test_a_reader_that_goes_away_does_not_raise() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with logging_to_stderr(LogConfig(), writer) as handler:
        our_log().info("nobody hears this")
        assert handler.dropped == 1
    os.close(writer)


def test_a_full_disk_does_not_raise() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    with (
        open("/dev/full", "wb", buffering=0) as full,
        logging_to_stderr(LogConfig(), full.fileno()) as handler,
    ):
        our_log().info("does not fit")
        assert handler.dropped == 1


def test_a_standard_error_that_is_closed_takes_no_other_file_with_it() -> None:
    program = (
        "import tempfile, structlog\n"
        "from onnxd.telemetry.logs import LogConfig, logging_to_stderr\n"
        "victim = tempfile.TemporaryFile()\n"
        "with logging_to_stderr(LogConfig()):\n"
        "    structlog.stdlib.get_logger('onnxd').info('hello')\n"
        "victim.seek(0)\n"
        "print(victim.fileno(), victim.read())\n"
    )
    command = f'exec {sys.executable} -c "$0" 2>&-'
    done = subprocess.run(["sh", "-c", command, program], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "2 b''\n"


def test_logging_is_as_before_afterwards() -> None:
    root, ours = logging.getLogger(), logging.getLogger("onnxd")
    before = root.handlers[:], root.level, ours.level, structlog.get_config()
    logged(lambda: our_log().info("x"), "debug")
    assert (root.handlers, root.level, ours.level, structlog.get_config()) == before


def test_an_exporter_that_complains_without_end_is_heard_once_a_minute() -> None:
    clock = iter([100.0, 101.0, 159.0, 161.0])

    def write() -> None:
        for seconds in clock:
            record = logging.LogRecord("opentelemetry.exporter", logging.ERROR, "", 0, "down", (), None)
            record.created = seconds
            logging.getLogger("opentelemetry.exporter").handle(record)

    events = [line["event"] for line in logged_json(write)]
    assert events == ["down", "down (and 2 more since the last line)"]


@pytest.fixture
def every_outcome() -> Callable[[], None]:
    outcomes: tuple[Outcome, ...] = ("answered", "refused", "failed")

    def write() -> None:
        for outcome in outcomes:
            log_access(outcome, "POST /v2/models/{model}/infer", 200, 1_234_567)

    return write


@pytest.mark.parametrize(
    ("level", "outcomes"),
    [
        ("debug", ["answered", "refused", "failed"]),
        ("info", ["refused", "failed"]),
        ("warning", ["failed"]),
        ("error", []),
    ],
)
def test_the_level_chooses_which_requests_are_logged(
    every_outcome: Callable[[], None], level: Level, outcomes: list[str]
) -> None:
    # What went well is written in bulk, after the others.
    assert sorted(line["outcome"] for line in logged_json(every_outcome, level)) == sorted(outcomes)


def test_an_access_line_has_what_is_known_and_leaves_out_the_rest() -> None:
    def write() -> None:
        log_access(
            "refused", "inference.GRPCInferenceService/ModelInfer", "INVALID_ARGUMENT", 1_234_567,
            model="digits", request_id="a\nb", trace_id="4bf9", error="expected FP32",
        )  # fmt: skip

    (line,) = logged_json(write)
    del line["timestamp"], line["level"], line["logger"]
    assert line == {
        "event": "inference.GRPCInferenceService/ModelInfer",
        "outcome": "refused",
        "status": "INVALID_ARGUMENT",
        "duration_ms": 1.235,
        "model": "digits",
        "id": r"a\nb",
        "trace_id": "4bf9",
        "error": "expected FP32",
    }
