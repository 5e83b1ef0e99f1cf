"""Inline or thread: the rule and its measure."""

import numpy as np
import pytest

from onnxd.runtime.placement import INLINE_BELOW_S, THREAD_ABOVE_S, Placement, Placements, placement, size_of

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


def ran(placements: Placements, size: int, seconds: float, times: int = 1) -> Placement:
    for _ in range(times):
        placements.ran(size, seconds)
    return placements.where(size)


def test_the_first_run_is_the_mean() -> None:
    placements = Placements()
    placements.ran(5, 2e-5)
    assert placements.mean_s == 2e-5


def test_one_stall_does_not_move_a_short_model_off_the_loop() -> None:
    placements = Placements(20e-6)
    assert ran(placements, 5, 20e-6) is Placement.INLINE
    assert ran(placements, 5, 0.050) is Placement.INLINE


def test_a_first_run_that_is_slow_for_once_does_not_move_what_a_trial_found_short() -> None:
    assert ran(Placements(20e-6), 5, 0.050) is Placement.INLINE


def test_runs_that_have_become_long_leave_the_loop_soon() -> None:
    placements = Placements(10e-6)
    assert ran(placements, 5, 10e-6) is Placement.INLINE
    assert ran(placements, 5, 0.005, times=10) is Placement.THREAD


def test_a_row_stays_on_the_loop_while_a_full_batch_of_the_model_leaves_it() -> None:
    placements = Placements(1e-3)
    assert ran(placements, 12, 30e-6, times=40) is Placement.INLINE
    assert ran(placements, 18, 1e-3, times=40) is Placement.THREAD
    assert placements.where(12) is Placement.INLINE


def test_a_size_that_has_not_run_is_taken_to_be_no_longer_than_a_larger_one() -> None:
    placements = Placements(1e-3)
    ran(placements, 12, 100e-6, times=40)
    assert placements.where(11) is Placement.INLINE


def test_a_size_that_has_not_run_is_taken_to_grow_with_its_bytes() -> None:
    placements = Placements(1e-3)
    ran(placements, 12, 100e-6)
    assert placements.where(13) is Placement.INLINE
    assert placements.where(14) is Placement.THREAD


def test_a_first_run_that_is_shorter_than_the_guess_is_believed() -> None:
    placements = Placements(1e-3)
    assert placements.where(12) is Placement.THREAD
    assert ran(placements, 12, 30e-6) is Placement.INLINE


def test_what_is_forced_stays_where_it_is() -> None:
    placements = Placements(1e-5, forced=Placement.THREAD)
    assert ran(placements, 5, 1e-5, times=100) is Placement.THREAD


@pytest.mark.parametrize(("rows", "width", "size"), [(0, 4, 0), (1, 4, 5), (2, 4, 6), (64, 784, 18)])
def test_the_size_of_a_run_is_that_of_its_inputs(rows: int, width: int, size: int) -> None:
    assert size_of({"x": np.zeros((rows, width), np.float32)}) == size
