"""Lines of the access log: in bulk as one by one, whoever writes them."""

import json
import logging
import os
import re
from typing import Literal

import pytest

from onnxd.messages import Timeline
from onnxd.telemetry.access import log_access, log_answered
from onnxd.telemetry.access_json import as_json
from onnxd.telemetry.access_writer import MOST_WAITING, AccessLine, AccessWriter
from onnxd.telemetry.logs import LogConfig, logging_to_stderr

MS = 1_000_000
TIMELINE = Timeline(
    1, queue_start_ns=1 * MS, compute_start_ns=3 * MS, compute_end_ns=7 * MS, ended_ns=12_345_679
)


def written(
    config: LogConfig,
    *,
    in_bulk: bool,
    principal: str = "camera 1",
    ids: tuple[str, str, str] = ("7", "r-1", "4bf9"),
) -> str:
    reader, writer = os.pipe()
    with os.fdopen(reader) as output:
        with logging_to_stderr(config, writer), pytest.MonkeyPatch.context() as patched:
            if not in_bulk:
                patched.setattr(AccessWriter, "open_one", None)
            log_answered("POST /v2/models/{model}/infer", 200, TIMELINE, "digits", 2, principal, *ids)
        os.close(writer)
        return output.read()


def without_time(line: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "TIME", line)


@pytest.mark.parametrize("principal", ["camera", "camera 1", "a=b", "'", "a\nb\x1b[2J", "‮", "é"])
def test_a_line_on_the_console_is_the_same_either_way(principal: str) -> None:
    config = LogConfig(level="debug")
    in_bulk = written(config, in_bulk=True, principal=principal)
    one_by_one = written(config, in_bulk=False, principal=principal)
    assert without_time(in_bulk) == without_time(one_by_one)
    assert in_bulk.count("\n") == 1


@pytest.mark.parametrize("ids", [("7", "r-1", "4bf9"), ("", "", ""), ('a"\nb', "", ""), ("é" * 200, "", "x")])
def test_a_line_for_machines_is_the_same_either_way(ids: tuple[str, str, str]) -> None:
    config = LogConfig(level="debug", format="json")
    in_bulk, one_by_one = (json.loads(written(config, in_bulk=each, ids=ids)) for each in (True, False))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z", in_bulk.pop("timestamp"))
    one_by_one.pop("timestamp")
    assert in_bulk == one_by_one
    assert in_bulk["duration_ms"] == 12.346
    assert (in_bulk["queue_ms"], in_bulk["compute_ms"]) == (2.0, 4.0)


@pytest.mark.parametrize(("share", "level", "lines"), [
    (1.0, "info", 200), (0.0, "info", 0), (0.0, "debug", 200), (0.5, "debug", 200),
])  # fmt: skip
def test_the_share_says_which_lines_are_informative(
    share: float, level: Literal["info", "debug"], lines: int
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as output:
        with logging_to_stderr(LogConfig(level=level, format="json", access=share), writer):
            for number in range(200):
                log_access("answered", "GET /v2", 200, number)
        os.close(writer)
        found = [json.loads(line) for line in output]
    assert len(found) == lines
    informative = sum(line["level"] == "info" for line in found)
    assert abs(informative - share * lines) < 70  # ten standard deviations


def test_lines_beyond_the_bound_are_lost_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    writer = AccessWriter(logging.getLogger("onnxd.access"), 1.0)
    line = AccessLine(logging.INFO, "GET /v2", "answered", 200, 1)
    for _ in range(MOST_WAITING + 3):
        writer.add((0.0, line))
    assert writer.dropped == 3
    with writer, caplog.at_level(logging.WARNING):
        pass
    assert "3 lines of requests were lost" in caplog.text


def test_a_handler_that_does_not_know_of_them_still_writes_them(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), AccessWriter(logging.getLogger("onnxd.access"), 1.0):
        log_access("answered", "GET /v2", 200, 1)
    assert "GET /v2" in caplog.text


def test_lines_of_inferences_and_of_others_are_written_in_their_order() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as output:
        with logging_to_stderr(LogConfig(format="json", access=1.0), writer):
            for number in range(300):
                if number % 100 == 7:
                    log_access("answered", "GET /v2", 200, number)
                else:
                    log_answered("POST", 200, TIMELINE, "m", number, "", "", "", "")
        os.close(writer)
        found = [json.loads(line) for line in output]
    assert [line.get("version", "none") for line in found] == [
        "none" if number % 100 == 7 else number for number in range(300)
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z", line["timestamp"]) for line in found)


def test_a_time_of_a_whole_second_has_its_fraction_all_the_same() -> None:
    answered = (logging.INFO, "POST", 200, "m", 1, "", 1, 1, 1, 1, 10**9, None)
    assert json.loads(as_json([answered], 10**9))["timestamp"] == "1970-01-01T00:00:02.000001Z"
