import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.scheduler.policy import Cut, Hold, decide, retry_after_s


def decision(rows: list[int], *, age_s: float = 0.0, delay_s: float = 0.0, freed: bool = False) -> Cut | Hold:
    return decide(rows, oldest_s=0.0, now_s=age_s, max_rows=8, max_delay_s=delay_s, freed=freed)


def test_an_idle_instance_takes_what_waits_at_once() -> None:
    assert decision([1, 1, 1]) == Cut(3, "idle")


def test_an_instance_that_became_free_takes_what_collected_meanwhile() -> None:
    assert decision([1, 2], freed=True) == Cut(2, "freed")


def test_rows_are_counted_not_requests() -> None:
    assert decision([3, 3, 3]) == Cut(2, "full")


def test_a_batch_of_exactly_the_maximum_is_full() -> None:
    assert decision([4, 4, 1]) == Cut(2, "full")


def test_a_delay_holds_a_batch_that_could_still_grow() -> None:
    assert decision([1], delay_s=0.005) == Hold(0.005)


def test_a_delay_counts_from_the_oldest_arrival() -> None:
    assert decision([1, 1], age_s=0.005, delay_s=0.005) == Cut(2, "delay")


def test_a_full_batch_does_not_wait_for_the_delay() -> None:
    assert decision([8], delay_s=0.005) == Cut(1, "full")


def test_a_model_that_does_not_batch_runs_requests_one_by_one() -> None:
    assert decide([1, 1], oldest_s=0, now_s=0, max_rows=0, max_delay_s=0, freed=False) == Cut(1, "single")


@given(
    rows=st.lists(st.integers(1, 8), min_size=1, max_size=20),
    age_s=st.floats(0, 1),
    delay_s=st.floats(0, 1),
    freed=st.booleans(),
)
def test_a_cut_never_exceeds_the_maximum_and_never_leaves_a_request_that_fits(
    rows: list[int], age_s: float, delay_s: float, freed: bool
) -> None:
    answer = decision(rows, age_s=age_s, delay_s=delay_s, freed=freed)
    if isinstance(answer, Cut):
        taken = rows[: answer.requests]
        assert 1 <= sum(taken) <= 8
        assert answer.requests == len(rows) or sum(taken) + rows[answer.requests] > 8
    else:
        assert answer.until_s > age_s
        assert sum(rows) < 8


@pytest.mark.parametrize(
    ("waiting_rows", "mean_run_s", "expected_s"),
    [(0, 0.0, 1.0), (64, 0.5, 4.0), (10_000, 1.0, 30.0)],
    ids=["at least a second", "the time to work off the queue", "at most half a minute"],
)
def test_retry_after_is_the_time_to_work_off_what_waits(
    waiting_rows: int, mean_run_s: float, expected_s: float
) -> None:
    assert retry_after_s(waiting_rows, 8, mean_run_s, 1) == expected_s
