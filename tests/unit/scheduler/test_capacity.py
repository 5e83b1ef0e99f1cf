"""What follows from run times, for every fit and every queue."""

import math
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.errors import DeadlineExceeded
from onnxd.scheduler.capacity import (
    FRESH_S,
    KNEE_RUNS,
    KNEE_SHARE,
    RUN_S,
    Ahead,
    RowCap,
    Waiting,
    answer_in_s,
    check_attainable,
    is_lost,
    knee,
    retry_after_s,
    row_cap,
    rows_within,
    steady_cap,
    work_s,
)
from onnxd.scheduler.caution import LEAST
from onnxd.scheduler.line import Line
from onnxd.scheduler.service_time import Fit

MAX_ROWS = 32


def fit(base_s: float = 4.0, per_row_s: float = 0.5, *, error: float = 0.0, newest_s: float = 0.0) -> Fit:
    return Fit(Line(base_s, per_row_s), error, 1, MAX_ROWS, newest_s, KNEE_RUNS)


FITS = st.builds(fit, st.floats(0, 10), st.floats(0, 10), error=st.floats(0, 0.25)).filter(
    lambda known: known.predict_s(1) > 1e-6
)
QUEUES = st.lists(
    st.builds(Waiting, st.integers(1, MAX_ROWS), st.none() | st.floats(-10, 400)), min_size=1, max_size=50
)


def cap(
    known: Fit | None, waiting: list[Waiting], *, max_rows: int = MAX_ROWS, guard_rows: int = MAX_ROWS
) -> RowCap:
    return row_cap(known, waiting, now_s=0.0, max_rows=max_rows, guard_rows=guard_rows)


def waiting(*deadlines_s: float | None, rows: int = 1) -> list[Waiting]:
    return [Waiting(rows, deadline_s) for deadline_s in deadlines_s]


# The largest batch within a time.


@given(known=FITS, budget_s=st.floats(0, 1000), max_rows=st.integers(1, 1000))
def test_rows_within_a_time_fit_it_and_one_more_would_not(known: Fit, budget_s: float, max_rows: int) -> None:
    rows = rows_within(known, budget_s, max_rows)
    assert 0 <= rows <= max_rows
    assert rows == 0 or known.predict_s(rows) <= budget_s
    assert rows == max_rows or known.predict_s(rows + 1) > budget_s


# The knee.


@given(known=FITS, max_rows=st.integers(1, 1000))
def test_at_the_knee_throughput_is_nearly_that_of_the_biggest_batch(known: Fit, max_rows: int) -> None:
    rows = knee(known, max_rows)
    assert 1 <= rows <= max_rows
    assert rows / known.predict_s(rows) >= KNEE_SHARE * (1 - 1e-9) * max_rows / known.predict_s(max_rows)


@given(base_s=st.floats(RUN_S, 10), per_row_s=st.floats(1e-3, 10), max_rows=st.integers(1, 1000))
def test_below_the_knee_it_is_not(base_s: float, per_row_s: float, max_rows: int) -> None:
    known = fit(base_s, per_row_s)
    rows = knee(known, max_rows) - 1
    if rows:
        assert rows / known.predict_s(rows) <= KNEE_SHARE * (1 + 1e-9) * max_rows / known.predict_s(max_rows)


def test_a_short_run_has_something_beside_its_rows_whatever_the_line_says() -> None:
    assert knee(fit(0.0, 5e-6), MAX_ROWS) == MAX_ROWS


def test_a_model_whose_time_is_all_in_its_rows_has_its_knee_at_one() -> None:
    assert knee(fit(0.0, 1.0), MAX_ROWS) == 1


def test_how_far_a_fit_is_off_may_be_time_that_is_not_in_the_rows() -> None:
    assert knee(fit(0.0, 1.0, error=0.1), MAX_ROWS) > 8


def test_a_model_whose_time_does_not_grow_with_its_rows_has_its_knee_at_the_maximum() -> None:
    assert knee(fit(1.0, 0.0), MAX_ROWS) == MAX_ROWS


# The cap of a batch.


@given(known=FITS | st.none(), queue=QUEUES, guard_rows=st.integers(1, MAX_ROWS))
def test_a_cap_lets_the_first_request_through_and_never_exceeds_the_maximum(
    known: Fit | None, queue: list[Waiting], guard_rows: int
) -> None:
    assert queue[0].rows <= cap(known, queue, guard_rows=guard_rows).rows <= MAX_ROWS


@given(known=FITS, queue=QUEUES)
def test_no_request_that_would_meet_its_deadline_misses_it_for_those_behind_it(
    known: Fit, queue: list[Waiting]
) -> None:
    rows = cap(known, queue).rows
    totals = list(accumulate(request.rows for request in queue))
    taken = [total for total in totals if total <= rows]
    run_s = known.predict_s(taken[-1])
    for request, total in zip(queue, taken, strict=False):
        if request.deadline_s is not None and known.predict_s(total) <= request.deadline_s:
            assert run_s <= request.deadline_s


@given(known=FITS, queue=QUEUES)
def test_a_batch_is_held_to_a_deadline_only_if_one_more_request_would_break_it(
    known: Fit, queue: list[Waiting]
) -> None:
    capped = cap(known, queue)
    if capped.reason == "deadline":
        totals = list(accumulate(request.rows for request in queue))
        more = next(total for total in totals if total > capped.rows)
        met = [
            request.deadline_s for request, total in zip(queue, totals, strict=True) if total <= capped.rows
        ]
        assert known.predict_s(more) > min(deadline_s for deadline_s in met if deadline_s is not None)


def test_the_tightest_deadline_bounds_the_batch() -> None:
    assert cap(fit(), waiting(None, 6.0, *[None] * 10)).rows == 4  # 4 + 4 * 0.5 = 6
    assert cap(fit(), waiting(None, 6.0, *[None] * 10)).reason == "deadline"


def test_a_deadline_that_is_lost_anyway_holds_up_nobody() -> None:
    assert cap(fit(), waiting(1.0, *[None] * 10)).reason != "deadline"


def test_a_batch_must_start_early_enough_for_its_deadlines() -> None:
    assert cap(fit(), waiting(20.0, None)).start_by_s == pytest.approx(20 - 5 * 1.1)
    assert cap(fit(), waiting(None)).start_by_s == math.inf


def test_no_batch_grows_beyond_the_knee() -> None:
    known = fit(0.01, 1.0)
    assert cap(known, waiting(*[None] * 20)) == RowCap(knee(known, MAX_ROWS), "knee")


def test_a_first_request_beyond_the_knee_runs_all_the_same() -> None:
    assert cap(fit(0.0, 1.0), waiting(None, None, rows=20)).rows == 20


def test_the_guard_holds_where_the_fit_is_bad_and_where_it_is_not_there() -> None:
    assert cap(fit(error=0.5), waiting(None), guard_rows=5) == RowCap(5, "guard")
    assert cap(None, waiting(None), guard_rows=5) == RowCap(5, "guard")
    assert cap(None, waiting(None)) == RowCap(MAX_ROWS, "maximum")


def test_the_guard_holds_after_a_failure_even_where_the_fit_is_good() -> None:
    assert cap(fit(), waiting(None), guard_rows=5) == RowCap(5, "guard")


# Admission.


def answer_s(
    known: Fit,
    rows: int = 1,
    *,
    left_s: float = 1000.0,
    same: int = 0,
    other_s: float = 0.0,
    busy_s: float = 0.0,
    runners: int = 1,
) -> float:
    return answer_in_s(
        known,
        rows,
        left_s=left_s,
        same_ahead_rows=same,
        other_ahead_s=other_s,
        busy_s=busy_s,
        max_rows=MAX_ROWS,
        runners=runners,
    )


def test_on_an_idle_instance_a_request_takes_the_run_of_the_batch_it_is_in() -> None:
    assert answer_s(fit(), 8) == 8.0
    assert answer_s(fit(), 1, same=3) == 6.0


def test_behind_a_run_a_request_waits_for_its_end_and_for_its_own() -> None:
    assert answer_s(fit(), 1, busy_s=2.0) == pytest.approx(LEAST * (2.0 + 4.5))


def test_what_no_longer_fits_a_batch_waits_for_the_one_before_it() -> None:
    assert answer_s(fit(), 1, same=32) == pytest.approx(LEAST * 2 * 20.0)
    assert answer_s(fit(), 1, same=32, runners=2) == pytest.approx(LEAST * 20.0)


def test_batches_are_reckoned_with_of_which_two_fit_the_deadline() -> None:
    assert answer_s(fit(), 1, same=13, busy_s=1.0, left_s=15.0) == pytest.approx(LEAST * (1.0 + 2 * 7.5))


def test_what_other_buckets_have_before_it_is_waited_for() -> None:
    assert answer_s(fit(), 1, other_s=3.0) == pytest.approx(LEAST * 7.5)


def test_work_is_done_in_the_fullest_batches_and_the_unknown_is_left_out() -> None:
    assert work_s([Ahead(fit(), 40), Ahead(None, 100), Ahead(fit(), 0)], MAX_ROWS) == 20.0 + 8.0


@given(
    known=FITS,
    rows=st.integers(1, MAX_ROWS),
    left_s=st.floats(0.01, 1000),
    same=st.integers(0, 500),
    other_s=st.floats(0, 100),
    busy_s=st.floats(0, 100),
)
def test_no_answer_takes_less_than_its_own_run_and_what_is_before_it(
    known: Fit, rows: int, left_s: float, same: int, other_s: float, busy_s: float
) -> None:
    taken_s = answer_s(known, rows, left_s=left_s, same=same, other_s=other_s, busy_s=busy_s)
    assert taken_s >= (busy_s + other_s + known.predict_s(rows)) * (1 - 1e-9)


def check(known: Fit | None, *, answer_s: float, deadline_s: float, now_s: float = 0.0) -> None:
    check_attainable(known, 1, answer_s, deadline_s=deadline_s, now_s=now_s)


def test_a_deadline_that_cannot_be_met_is_refused_with_both_times() -> None:
    with pytest.raises(DeadlineExceeded, match=r"in 2\.000 s, cannot be met.* about 4\.500 s"):
        check(fit(), answer_s=4.5, deadline_s=2.0)


def test_a_deadline_that_can_be_met_is_not_refused() -> None:
    check(fit(), answer_s=4.5, deadline_s=4.5)


def test_nothing_is_refused_on_a_guess() -> None:
    check(None, answer_s=4.5, deadline_s=0.1)
    check(fit(error=0.3), answer_s=4.5, deadline_s=0.1)
    check_attainable(fit(), MAX_ROWS + 1, 99.0, deadline_s=0.1, now_s=0.0)


def test_nothing_is_refused_on_old_evidence() -> None:
    check(fit(newest_s=1.0), answer_s=4.5, deadline_s=FRESH_S + 2, now_s=FRESH_S + 1.5)
    with pytest.raises(DeadlineExceeded):
        check(fit(newest_s=2.0), answer_s=4.5, deadline_s=FRESH_S + 2, now_s=FRESH_S + 1.5)


def test_what_waits_is_lost_when_its_own_run_is_clearly_longer_than_its_time() -> None:
    assert is_lost(fit(), 1, deadline_s=4.0, now_s=0.0)
    assert not is_lost(fit(), 1, deadline_s=4.2, now_s=0.0)
    assert not is_lost(None, 1, deadline_s=0.1, now_s=0.0)


@pytest.mark.parametrize(
    ("backlog_s", "expected_s"),
    [(0.0, 1.0), (3.2, 4.0), (1e6, 30.0)],
    ids=["at least a second", "the time to work off the queue", "at most half a minute"],
)
def test_retry_after_is_the_time_to_work_off_what_waits(backlog_s: float, expected_s: float) -> None:
    assert retry_after_s(backlog_s) == expected_s


# Where no deadline is near.


@given(known=st.none() | FITS, first=st.integers(1, MAX_ROWS), guard_rows=st.integers(1, MAX_ROWS))
def test_without_deadlines_the_cap_is_the_steady_one(known: Fit | None, first: int, guard_rows: int) -> None:
    steady = steady_cap(known, first, max_rows=MAX_ROWS, guard_rows=guard_rows)
    assert cap(known, waiting(None, rows=first), guard_rows=guard_rows) == steady
    assert first <= steady.rows <= MAX_ROWS
    assert (steady.reason == "maximum") == (steady.rows == MAX_ROWS)


@given(known=FITS, guard_rows=st.integers(1, MAX_ROWS))
def test_who_wishes_for_full_batches_has_what_the_guard_allows(known: Fit, guard_rows: int) -> None:
    assert steady_cap(known, 1, max_rows=MAX_ROWS, guard_rows=guard_rows, share=1.0).rows == guard_rows


@given(known=FITS)
def test_a_knee_needs_evidence(known: Fit) -> None:
    new = replace(known, runs=KNEE_RUNS - 1)
    assert steady_cap(new, 1, max_rows=MAX_ROWS, guard_rows=MAX_ROWS).rows == MAX_ROWS
