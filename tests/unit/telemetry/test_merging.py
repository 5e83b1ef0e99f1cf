"""What several processes have counted adds up to what one would have counted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxd.telemetry.histogram import HistogramSnapshot
from onnxd.telemetry.machine import ProcessUsage
from onnxd.telemetry.observation import Observation, VersionObservation, merge
from onnxd.telemetry.refusals import REASONS
from onnxd.telemetry.statistics import StatisticsSnapshot
from tests.support.observations import BUILD, Event, events, history, observations

NOTHING = Observation(
    build=BUILD,
    versions=(),
    in_flight=0,
    refused=dict.fromkeys(REASONS, 0),
    loads={"success": 0, "failure": 0},
)


@given(events, events)
def test_two_histories_merge_to_what_one_process_would_have_seen(
    here: list[Event], there: list[Event]
) -> None:
    assert history(here).merged(history(there)) == history([*here, *there])


@settings(max_examples=30)
@given(observations, observations)
def test_it_does_not_matter_which_process_answers(one: Observation, other: Observation) -> None:
    assert merge(one, other) == merge(other, one)


@settings(max_examples=30)
@given(observations, observations, observations)
def test_it_does_not_matter_which_two_merge_first(
    one: Observation, two: Observation, three: Observation
) -> None:
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


@settings(max_examples=30)
@given(observations)
def test_a_process_that_has_seen_nothing_changes_nothing(one: Observation) -> None:
    assert merge(one, NOTHING) == one


def version(pending: int, load_s: float, number: int = 1) -> VersionObservation:
    return VersionObservation(
        "m", number, StatisticsSnapshot(), pending, 1, {"inline": 1, "thread": 0}, load_s
    )


def test_gauges_of_parts_add_up_and_a_load_took_as_long_as_the_longest() -> None:
    one, two = version(2, 1.5), version(1, 1.0, number=2)
    here = Observation(BUILD, (one,), 3, {}, {}, ProcessUsage(1.0, 100, 7, 50.0))
    there = Observation(BUILD, (version(5, 0.5), two), 4, {}, {}, ProcessUsage(2.0, 200, 8, 40.0))
    both = merge(here, there)
    assert [(seen.version, seen.pending, seen.busy, seen.load_s) for seen in both.versions] == [
        (1, 7, 2, 1.5),
        (2, 1, 1, 1.0),
    ]
    assert both.in_flight == 7
    assert both.process == ProcessUsage(3.0, 300, 15, 40.0)


@given(st.lists(st.integers(min_value=1), min_size=1, max_size=4, unique=True).map(sorted))
def test_histograms_of_other_bounds_do_not_merge(bounds: list[int]) -> None:
    histogram = HistogramSnapshot.empty(tuple(bounds))
    with pytest.raises(ValueError, match="different bounds"):
        histogram.merged(HistogramSnapshot.empty((*bounds, bounds[-1] + 1)))
