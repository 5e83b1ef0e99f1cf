"""The text that Prometheus reads, read back by prometheus_client's parser and by promtool."""

import math
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from onnxd.messages import Timeline
from onnxd.telemetry.exposition import exposition
from onnxd.telemetry.instrument import Instrument, Kind
from onnxd.telemetry.instruments import SERVER_INSTRUMENTS, VERSION_INSTRUMENTS, VERSION_LABELS
from onnxd.telemetry.machine import MachineUsage, ProcessUsage
from onnxd.telemetry.observation import Observation, RunTimes, StorageObservation, VersionObservation
from onnxd.telemetry.refusals import REASONS
from onnxd.telemetry.statistics import FailureReason, ModelStatistics, StatisticsSnapshot
from tests.support.observations import BUILD, observations
from tests.support.scraping import Scrape

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
INSTRUMENTS: tuple[Instrument[Any], ...] = (*VERSION_INSTRUMENTS, *SERVER_INSTRUMENTS)
NAMES = [instrument.name for instrument in INSTRUMENTS]


def version(model: str, statistics: StatisticsSnapshot | None = None) -> VersionObservation:
    return VersionObservation(
        model,
        3,
        statistics or StatisticsSnapshot(),
        pending=2,
        busy=1,
        placements={"inline": 1, "thread": 0, "process": 0},
        load_s=0.25,
        memory={"peak": 2**20},
        run_times=RunTimes(0.004, 0.0005, 8),
        restarts={"SIGFPE": 0},
        content="c0ffee",
    )


def observed(*versions: VersionObservation) -> Observation:
    return Observation(
        build=BUILD,
        versions=versions,
        in_flight=4,
        refused=dict.fromkeys(REASONS, 0),
        loads={"success": 1, "failure": 0},
        process=ProcessUsage(1.5, 2**20, 9, 1.7e9),
        machine=MachineUsage(0.5, 2**30, 2**29),
        identity=("onnxd-1", "node-1", "default"),
        storage=(StorageObservation("s3://models/a", 3, 2**20, 1.5, 7, 2**21, {"timeout": 1}),),
    )


def scrape(*versions: VersionObservation) -> Scrape:
    return Scrape.of(exposition(observed(*versions)).decode())


def ran(*, waited: int, stacked: int, inferred: int, split: int, rows: int = 1) -> StatisticsSnapshot:
    """A version that has answered one request."""
    statistics = ModelStatistics()
    begun, finished = waited + stacked, waited + stacked + inferred
    statistics.record_success(
        Timeline(1, 0, 0, 0, waited, begun, finished, finished + split), rows=rows, byte_size=100
    )
    statistics.record_batch(rows, stacked, inferred, split)
    return statistics.snapshot()


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=NAMES)
def test_every_instrument_is_there_before_anything_happened(instrument: Instrument[Any]) -> None:
    suffixes = ("_bucket", "_count", "_sum") if instrument.kind is Kind.HISTOGRAM else ("",)
    of_version = VERSION_LABELS if instrument in VERSION_INSTRUMENTS else ()
    found = scrape(version("m")).samples
    for suffix in suffixes:
        for labels in found[f"{instrument.name}{suffix}"]:
            assert dict(labels).keys() - {"le"} == {*of_version, *instrument.labels}


def test_nothing_is_exposed_that_is_not_in_the_table() -> None:
    text = exposition(observed(version("m"))).decode()
    types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert sorted(types) == sorted(NAMES)


def test_no_name_is_used_twice() -> None:
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=NAMES)
def test_the_documentation_has_every_instrument(instrument: Instrument[Any]) -> None:
    labels = ", ".join(f"`{label}`" for label in instrument.labels)
    cells = (f"`{instrument.name}`", instrument.kind.value, instrument.unit, labels, instrument.help)
    row = f"| {' | '.join(cells)} |".replace("|  |", "| |")
    assert row in PAGE.read_text().splitlines()


def test_the_documentation_has_no_other_instrument() -> None:
    rows = re.findall(r"^\| `((?:nv|onnxd|process)_\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(NAMES)


def test_all_four_reasons_of_failure_are_there_at_0() -> None:
    failures = scrape(version("m")).samples["nv_inference_request_failure"]
    assert {dict(labels)["reason"]: count for labels, count in failures.items()} == {
        reason.value: 0.0 for reason in FailureReason
    }


def test_each_version_has_its_own_series() -> None:
    found = scrape(version("a"), version("b"))
    assert len(found.series(model="a", version="3")) == len(found.series(model="b", version="3")) > 0


def test_without_a_version_there_is_no_series_of_one() -> None:
    assert not any("model" in dict(labels) for _, labels in scrape().series())


def test_triton_counts_microseconds_and_ours_are_seconds() -> None:
    found = scrape(version("m", ran(waited=3_000_000, stacked=1_500, inferred=7_000_999, split=0, rows=5)))
    assert found.value("nv_inference_request_duration_us") == 10_002
    assert found.value("nv_inference_queue_duration_us") == 3_000
    assert found.value("nv_inference_compute_input_duration_us") == 1
    assert found.value("nv_inference_compute_infer_duration_us") == 7_000
    assert found.value("nv_inference_compute_output_duration_us") == 0
    assert found.value("nv_inference_count") == 5
    assert found.value("nv_inference_exec_count") == 1
    assert found.value("onnxd_request_duration_seconds_sum") == 0.010002499
    assert found.value("onnxd_queue_duration_seconds_bucket", le="0.0025") == 0
    assert found.value("onnxd_queue_duration_seconds_bucket", le="0.005") == 1
    assert found.value("onnxd_batch_rows_bucket", le="4.0") == 0
    assert found.value("onnxd_batch_rows_sum") == 5
    assert found.value("onnxd_request_bytes_sum") == 100


@settings(max_examples=10)
@given(observations)
def test_every_histogram_ends_with_its_count_and_never_falls(seen: Observation) -> None:
    found = Scrape.of(exposition(seen).decode())
    for instrument in VERSION_INSTRUMENTS:
        if instrument.kind is not Kind.HISTOGRAM or not seen.versions:
            continue
        for labels, count in found.samples[f"{instrument.name}_count"].items():
            buckets = [
                (float(dict(of)["le"]), number)
                for of, number in found.samples[f"{instrument.name}_bucket"].items()
                if of >= labels
            ]
            assert [bound for bound, _ in buckets] == [*instrument.buckets, math.inf]
            numbers = [number for _, number in buckets]
            assert numbers == sorted(numbers)
            assert numbers[-1] == count


@pytest.mark.parametrize("model", ['quo"te', "back\\slash", "new\nline", "ünïcode", 'a",version="9'])
def test_a_name_cannot_break_out_of_its_label(model: str) -> None:
    for name in ("nv_inference_count", "onnxd_instances_busy"):
        [labels] = scrape(version(model)).samples[name]
        assert dict(labels) == {"model": model, "version": "3"}


def test_a_machine_that_does_not_tell_leaves_its_series_out() -> None:
    silent = replace(observed(), process=None, machine=None)
    names = Scrape.of(exposition(silent).decode()).samples
    assert not any(name.startswith(("nv_cpu", "process_")) for name in names)


def test_promtool_has_nothing_to_say_of_ours() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        assert not os.environ.get("CI"), "CI installs promtool (.ci/run)"
        pytest.skip("promtool is not installed; it comes with Prometheus")
    text = exposition(observed(version("m", ran(waited=1, stacked=1, inferred=1, split=1))))
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=30)
    complaints = done.stderr.decode().splitlines()
    # Triton's names are Triton's: its dashboards ask for exactly these.
    assert [line for line in complaints if not line.startswith("nv_")] == []
    assert complaints, "promtool finds fault with Triton's names, so it did read them"
