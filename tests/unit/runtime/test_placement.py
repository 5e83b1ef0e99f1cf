"""Inline or thread: the rule and its measure."""

import pytest

from onnxd.runtime.placement import INLINE_BELOW_S, THREAD_ABOVE_S, Placement, RunTimes, placement

BETWEEN_S = (INLINE_BELOW_S + THREAD_ABOVE_S) / 2


@pytest.mark.parametrize(
    ("mean_s", "current", "expected"),
    [
        pytest.param(10e-6, Placement.INLINE, Placement.INLINE, id="a short run stays on the loop"),
        pytest.param(10e-6, Placement.THREAD, Placement.INLINE, id="a short run comes back to the loop"),
        pytest.param(10e-3, Placement.THREAD, Placement.THREAD, id="a long run stays on its thread"),
        pytest.param(10e-3, Placement.INLINE, Placement.THREAD, id="a long run leaves the loop"),
        pytest.param(
            BETWEEN_S, Placement.INLINE, Placement.INLINE, id="near the threshold: stays on the loop"
        ),
        pytest.param(
            BETWEEN_S, Placement.THREAD, Placement.THREAD, id="near the threshold: stays on its thread"
        ),
        pytest.param(None, Placement.INLINE, Placement.THREAD, id="unknown: not on the loop"),
    ],
)
def test_where_the_next_run_happens(mean_s: float | None, current: Placement, expected: Placement) -> None:
    assert placement(mean_s, current) is expected


def test_the_first_run_is_the_mean() -> None:
    times = RunTimes()
    times.add(2e-5)
    assert times.mean_s == 2e-5


def test_one_stall_does_not_move_a_short_model_off_the_loop() -> None:
    times = RunTimes(20e-6)
    times.add(0.050)
    assert times.mean_s is not None
    assert placement(times.mean_s, Placement.INLINE) is Placement.INLINE


def test_runs_that_have_become_long_leave_the_loop_soon() -> None:
    times = RunTimes(10e-6)
    for _ in range(10):
        times.add(0.005)
    assert times.mean_s is not None
    assert placement(times.mean_s, Placement.INLINE) is Placement.THREAD
