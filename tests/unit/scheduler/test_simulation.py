"""The scheduler in virtual time against theory, windows and deadlines: benchmarks/policy.py in short."""

import asyncio
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from benchmarks import overload
from benchmarks.formers import WindowAtPickUp
from benchmarks.policy import MODEL, SHORT, Length, deadlines, inoue_bound_s, knees, theory, windows
from benchmarks.simulation import Arrivals, BatchWhileBusy, poisson, simulate
from benchmarks.virtual_loop import run_virtually


@pytest.mark.slow
@pytest.mark.parametrize("table", [windows, theory, knees, deadlines])
def test_what_the_benchmark_demands_holds(table: Callable[[Length], Iterable[str]]) -> None:
    assert list(table(SHORT)) == []


def test_a_light_caller_hardly_hears_of_a_flood_and_no_capacity_is_lost() -> None:
    assert list(overload.fairness(200, ["4 + 0.5 ms a row, up to 8"])) == []


def test_under_a_standing_queue_the_most_is_answered_in_time() -> None:
    assert list(overload.shedding(300, [0.9, 1.2])) == []


def at(*seconds: float, deadline_s: float | None = None) -> Arrivals:
    """Requests of one row at these times."""
    return Arrivals(np.array(seconds), [1] * len(seconds), deadline_s)


def test_the_same_question_has_the_same_answer() -> None:
    once, again = (
        simulate(poisson(500, 300, rows=(1, 2, 4)), MODEL.at, BatchWhileBusy(0.002), instances=2)
        for _ in range(2)
    )
    assert once.latencies_s.tolist() == again.latencies_s.tolist()
    assert once.batch_rows == again.batch_rows


def test_a_request_alone_takes_its_run_and_those_that_came_meanwhile_the_next() -> None:
    outcome = simulate(at(0.0, 0.001, 0.002), MODEL.at, BatchWhileBusy())
    assert outcome.latencies_s == pytest.approx([0.0045, 0.0085, 0.0075])
    assert list(outcome.batch_rows) == [1, 2]


def test_a_window_from_pick_up_is_waited_out_even_when_idle() -> None:
    outcome = simulate(at(0.0, 0.001), MODEL.at, WindowAtPickUp(0.010))
    assert outcome.latencies_s == pytest.approx([0.015, 0.014])


def test_two_instances_run_side_by_side() -> None:
    outcome = simulate(at(0.0, 0.001), MODEL.at, BatchWhileBusy(), instances=2)
    assert outcome.latencies_s == pytest.approx([0.0045, 0.0045])


def test_what_misses_its_deadline_and_what_finds_no_room_is_counted() -> None:
    late = simulate(at(0.0, 0.001, deadline_s=0.005), MODEL.at, BatchWhileBusy())
    assert (len(late.latencies_s), late.late) == (1, 1)
    full = simulate(at(0.0, 0.001, 0.002), MODEL.at, BatchWhileBusy(max_queue_size=1))
    assert (len(full.latencies_s), full.refused) == (2, 1)


def test_the_bound_is_the_one_that_was_published() -> None:
    assert [round(inoue_bound_s(rate, MODEL) * 1e3, 2) for rate in (50, 200, 800, 1500)] == [
        5.03, 6.95, 10.71, 25.57,
    ]  # fmt: skip


def test_waiting_for_nothing_is_an_error_and_not_a_hang() -> None:
    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="nothing will ever happen"):
        run_virtually(forever())
