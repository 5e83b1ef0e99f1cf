from hypothesis import given
from hypothesis import strategies as st

from onnxd.scheduler.cap_guard import CapGuard, after_run


def run(guard: CapGuard, rows: int, *, well: bool = True) -> CapGuard:
    return after_run(guard, rows, well=well, max_rows=32)


def test_a_miss_takes_a_tenth() -> None:
    assert run(CapGuard(20, 3), 20, well=False) == CapGuard(18)


def test_a_miss_of_a_smaller_batch_counts_from_what_failed() -> None:
    assert run(CapGuard(30), 10, well=False) == CapGuard(9)


def test_four_full_batches_that_went_well_add_a_row() -> None:
    guard = CapGuard(10)
    for _ in range(4):
        guard = run(guard, 10)
    assert guard == CapGuard(11)


def test_a_batch_that_was_not_full_says_nothing() -> None:
    assert run(CapGuard(10, 2), 9) == CapGuard(10, 2)


@given(st.lists(st.tuples(st.integers(1, 32), st.booleans())))
def test_the_cap_stays_between_one_row_and_the_maximum(runs: list[tuple[int, bool]]) -> None:
    guard = CapGuard(32)
    for rows, well in runs:
        guard = run(guard, rows, well=well)
        assert 1 <= guard.rows <= 32
