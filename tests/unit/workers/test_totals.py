"""What several workers have seen together: a sum, and one whose counters never go back."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from onnxd.telemetry.histogram import HistogramSnapshot
from onnxd.telemetry.machine import ProcessUsage
from onnxd.telemetry.observation import Observation, VersionObservation, merge
from onnxd.telemetry.statistics import StatisticsSnapshot
from onnxd.workers.relay import from_json, to_json
from onnxd.workers.totals import Report, Totals
from tests.support.observations import BUILD, observations

OWN = Observation(BUILD, (), 0, {}, {})
SERVED = {("m", 1): 7}


def seen(count: int, *, pending: int = 0) -> Observation:
    version = VersionObservation(
        "m", 1, StatisticsSnapshot(inference_count=count), pending, 0, {"inline": 1}, 1.0
    )
    process = ProcessUsage(count / 10, 100, 5, 50.0)
    return Observation(BUILD, (version,), pending, {"NotFound": count}, {}, process, workers_alive=1)


def report(count: int, at_ns: int = 0, load: int = 7, pending: int = 0) -> Report:
    return Report(at_ns, seen(count, pending=pending), (("m", 1, load),))


def count_of(totals: Totals, served: dict[tuple[str, int], int] = SERVED) -> int:
    [version] = totals.together(OWN, served).versions
    return version.statistics.inference_count


@settings(max_examples=30)
@given(observations)
def test_an_observation_survives_the_way_between_two_processes(one: Observation) -> None:
    assert from_json(Observation, to_json(Observation, one)) == one


@settings(max_examples=20)
@given(st.lists(observations, min_size=1, max_size=3))
def test_together_is_the_merge_of_all(several: list[Observation]) -> None:
    totals = Totals()
    served: dict[tuple[str, int], int] = {}
    for number, each in enumerate(several):
        loads = tuple((version.model, version.version, 1) for version in each.versions)
        served |= {(name, version): 1 for name, version, _ in loads}
        totals.note(number, Report(0, each, loads))
    expected = OWN
    for each in several:
        expected = merge(expected, each)
    assert totals.together(OWN, served) == expected


def test_what_a_dead_worker_has_counted_stays_and_what_it_held_does_not() -> None:
    totals = Totals()
    totals.note(0, report(10, pending=3))
    totals.note(1, report(5, pending=1))
    totals.end(0)
    together = totals.together(OWN, SERVED)
    [version] = together.versions
    assert (version.statistics.inference_count, version.pending) == (15, 1)
    assert (together.in_flight, together.workers_alive, together.refused["NotFound"]) == (1, 1, 15)
    assert together.process == ProcessUsage(1.5, 100, 5, 50.0)
    totals.note(0, report(2, at_ns=1))  # the next one under that number
    assert count_of(totals) == 17


def test_a_report_that_was_overtaken_changes_nothing() -> None:
    totals = Totals()
    totals.note(0, report(10, at_ns=2))
    totals.note(0, report(9, at_ns=1))
    assert count_of(totals) == 10


def test_counters_of_a_version_end_with_its_load() -> None:
    totals = Totals()
    totals.note(0, report(10, load=7))
    totals.end(0)
    totals.note(1, report(5, load=7))
    totals.note(2, report(1, load=8))
    assert count_of(totals, {("m", 1): 8}) == 1
    assert not totals.together(OWN, {}).versions


def test_many_deaths_are_remembered_as_one_sum() -> None:
    totals = Totals()
    for _ in range(100):
        totals.note(0, report(1))
        totals.end(0)
        totals.together(OWN, {})
    assert totals.together(OWN, {}).refused["NotFound"] == 100
    assert not totals._ended


def test_a_report_is_what_comes_back_from_json() -> None:
    times = HistogramSnapshot.empty((1, 2))
    one = replace(report(3), broken=((7, "its process died"),))
    assert from_json(Report, to_json(Report, one)) == one
    assert from_json(HistogramSnapshot, to_json(HistogramSnapshot, times)) == times
