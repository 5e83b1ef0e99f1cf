"""Run times learnt from runs: exact where runs are exact, robust to stalls, following drift, bounded."""

import random
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxd.scheduler.service_time import MOST_ERROR, Fit, ServiceTimes

BUCKET = ("b",)
MAX_ROWS = 32


def times(runs: Iterable[tuple[int, float]], *, max_rows: int = MAX_ROWS) -> ServiceTimes:
    """What is known after these runs of so many rows and seconds."""
    known = ServiceTimes(max_rows=max_rows)
    note(known, runs)
    return known


def note(known: ServiceTimes, runs: Iterable[tuple[int, float]]) -> None:
    for rows, seconds in runs:
        known.note(BUCKET, rows, seconds, now_s=0.0)


def fit(known: ServiceTimes) -> Fit:
    found = known.fit(BUCKET)
    assert found is not None
    return found


def seconds(rows: int, *, base_s: float = 0.004, per_row_s: float = 0.0005) -> float:
    return base_s + per_row_s * rows


def test_nothing_is_known_of_a_bucket_that_never_ran() -> None:
    known = times([(1, 0.1)])
    assert known.fit(("another",)) is None
    assert known.guard_rows(("another",)) == MAX_ROWS


def test_two_warm_up_runs_are_a_fit() -> None:
    known = fit(times([(1, seconds(1)), (32, seconds(32))]))
    assert known.predict_s(16) == pytest.approx(seconds(16))
    assert known.knows(16)


def test_of_one_size_only_that_size_is_known() -> None:
    known = fit(times([(1, 0.01), (1, 0.01)]))
    assert known.knows(1)
    assert not known.knows(2)


def test_what_does_not_batch_has_one_size() -> None:
    assert fit(times([(1, 0.02)] * 3, max_rows=0)).predict_s(1) == 0.02


@given(
    base_s=st.floats(0, 0.1),
    per_row_s=st.floats(1e-5, 0.1),
    sizes=st.lists(st.integers(1, MAX_ROWS), min_size=8, max_size=200),
)
def test_runs_on_a_line_are_predicted(base_s: float, per_row_s: float, sizes: list[int]) -> None:
    known = fit(times((rows, seconds(rows, base_s=base_s, per_row_s=per_row_s)) for rows in sizes))
    for rows in sizes:
        assert known.predict_s(rows) == pytest.approx(
            seconds(rows, base_s=base_s, per_row_s=per_row_s), rel=0.01
        )
    assert known.error < 0.01


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    stall=st.floats(2, 1000),
    sizes=st.sets(st.integers(1, 32), min_size=2, max_size=16),
)
def test_one_stall_in_eight_does_not_bend_it(seed: int, stall: float, sizes: set[int]) -> None:
    chance = random.Random(seed)
    known = times([(1, seconds(1)), (32, seconds(32))])
    ran: Counter[int] = Counter()
    for _ in range(400):
        rows = chance.choice(sorted(sizes))
        ran[rows] += 1
        note(known, [(rows, seconds(rows) * chance.uniform(1, 1.1) * (1 if ran[rows] % 8 else stall))])
    for rows in sizes:
        assert fit(known).predict_s(rows) == pytest.approx(seconds(rows), rel=0.25)


def test_a_stall_among_the_first_runs_does_not_bend_it() -> None:
    known = times([(1, seconds(1)), (32, seconds(32)), (1, 10.0)])
    assert fit(known).predict_s(1) == pytest.approx(seconds(1))
    note(known, [(2, seconds(2)), (32, 10.0)])
    assert fit(known).predict_s(32) == pytest.approx(seconds(32))


@pytest.mark.parametrize("factor", [0.25, 0.5, 2, 4])
def test_a_model_that_has_really_changed_is_followed(factor: float) -> None:
    chance = random.Random(1)
    sizes = (1, 2, 4, 8, 16, 32)
    known = times((rows, seconds(rows)) for rows in chance.choices(sizes, k=500))
    note(known, ((rows, seconds(rows) * factor) for rows in chance.choices(sizes, k=80)))
    for rows in sizes:
        assert fit(known).predict_s(rows) == pytest.approx(seconds(rows) * factor, rel=0.05)


def test_sizes_that_no_longer_occur_give_way_to_those_that_do() -> None:
    known = times((rows, seconds(rows)) for rows in [*range(4, 33)] * 10)
    note(known, ((rows, seconds(rows) * 3) for rows in [1, 2, 3] * 700))
    for rows in (1, 2, 3):
        assert fit(known).predict_s(rows) == pytest.approx(seconds(rows) * 3, rel=0.1)


def test_run_times_that_follow_no_line_are_known_to_be_none() -> None:
    chance = random.Random(3)
    known = times((rows, chance.choice([0.001, 0.01, 0.1])) for rows in chance.choices(range(1, 33), k=300))
    assert fit(known).error > MOST_ERROR
    assert not fit(known).good
    assert not fit(known).knows(8)


def test_buckets_are_bounded_and_those_that_ran_last_are_kept() -> None:
    known = ServiceTimes(max_rows=8, most_buckets=3)
    for name in ("a", "b", "c", "a", "d"):
        known.note((name,), 1, 0.1, now_s=0.0)
    assert [shown.bucket for shown in known.snapshot()] == [("d",), ("a",), ("c",)]


def test_sizes_are_bounded_and_the_smallest_and_the_biggest_are_kept() -> None:
    known = times(((rows, seconds(rows)) for rows in range(1, 4097)), max_rows=4096)
    note(known, ((rows, seconds(rows)) for rows in range(64, 1024)))
    [shown] = known.snapshot()
    assert len(shown.points) <= 16
    assert shown.fit.least_rows == 1
    assert shown.fit.most_rows >= 3584
    assert shown.fit.predict_s(4096) == pytest.approx(seconds(4096), rel=0.01)


def test_a_snapshot_has_the_fit_and_the_runs_behind_it_and_does_not_change() -> None:
    known = times([(1, 0.1), (1, 0.3), (1, 0.2), (8, 0.9)])
    [shown] = known.snapshot()
    assert [(point.rows, point.seconds) for point in shown.points] == [(1, 0.2), (8, 0.9)]
    assert shown.runs == 4
    assert shown.fit.predict_s(8) == pytest.approx(0.9)
    note(known, [(1, 0.5)] * 20)
    assert shown.points[0].seconds == 0.2


def test_a_fit_is_as_new_as_its_newest_run() -> None:
    known = ServiceTimes(max_rows=8)
    for now_s in (1.0, 7.0):
        known.note(BUCKET, 1, 0.1, now_s)
    assert fit(known).newest_s == 7.0


def test_beyond_a_cliff_the_guard_comes_down_to_its_edge() -> None:
    def cliff(rows: int) -> float:
        return seconds(rows) * (1 if rows <= 16 else 40)

    known = ServiceTimes(max_rows=MAX_ROWS)
    for _ in range(400):
        for rows in (1, 4, 8, known.guard_rows(BUCKET)):
            note(known, [(rows, cliff(rows))])
            fit(known)
    assert 14 <= known.guard_rows(BUCKET) <= 20


def test_no_memory_for_a_batch_lowers_the_guard() -> None:
    known = times([(1, seconds(1)), (32, seconds(32))])
    known.note_failure(BUCKET, 32)
    assert known.guard_rows(BUCKET) == 28
    known.note_failure(("another",), 32)
