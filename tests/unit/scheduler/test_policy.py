from hypothesis import given
from hypothesis import strategies as st

from onnxd.scheduler.policy import Cut, Hold, decide


def decision(
    rows: list[int],
    *,
    age_s: float = 0.0,
    delay_s: float = 0.0,
    freed: bool = False,
    preferred: tuple[int, ...] = (),
    start_by_s: tuple[float, ...] = (),
    others: bool = False,
) -> Cut | Hold:
    return decide(
        rows,
        oldest_s=0.0,
        now_s=age_s,
        max_rows=8,
        max_delay_s=delay_s,
        freed=freed,
        preferred=preferred,
        start_by_s=start_by_s,
        others=others,
    )


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


def test_a_preferred_size_is_not_held_back() -> None:
    assert decision([1, 3], delay_s=0.005, preferred=(4,)) == Cut(2, "preferred")


def test_the_biggest_preferred_size_that_the_queue_reaches_is_taken() -> None:
    assert decision([2, 2, 2, 1], delay_s=0.005, preferred=(2, 4, 6)) == Cut(3, "preferred")


def test_a_preferred_size_that_no_requests_add_up_to_is_waited_for() -> None:
    assert decision([3, 3], delay_s=0.005, preferred=(4,)) == Hold(0.005)


def test_a_full_batch_goes_before_a_preferred_size() -> None:
    assert decision([4, 4], delay_s=0.005, preferred=(4,)) == Cut(2, "full")


def test_when_the_delay_is_over_everything_is_taken_whatever_is_preferred() -> None:
    assert decision([4, 1], age_s=0.005, delay_s=0.005, preferred=(4,)) == Cut(2, "delay")


def test_without_a_delay_no_size_is_preferred() -> None:
    assert decision([4, 1], preferred=(4,)) == Cut(2, "idle")


def test_a_request_is_not_held_back_beyond_what_its_deadline_allows() -> None:
    assert decision([1, 1], delay_s=1.0, start_by_s=(0.9, 0.4)) == Hold(0.4)
    assert decision([1, 1], delay_s=1.0, start_by_s=(0.9, 0.4), age_s=0.4) == Cut(2, "deadline")


def test_a_distant_deadline_does_not_make_a_delay_longer() -> None:
    assert decision([1], delay_s=1.0, start_by_s=(30.0,)) == Hold(1.0)


def test_a_batch_that_took_all_of_its_shape_says_that_the_others_have_another() -> None:
    assert decision([1, 1], others=True, freed=True) == Cut(2, "shape")
    assert decision([4, 4], others=True) == Cut(2, "full")


def test_a_full_batch_does_not_wait_for_the_delay() -> None:
    assert decision([8], delay_s=0.005) == Cut(1, "full")


def test_a_model_that_does_not_batch_runs_requests_one_by_one() -> None:
    assert decide([1, 1], oldest_s=0, now_s=0, max_rows=0, max_delay_s=0, freed=False) == Cut(1, "single")


ROWS = st.lists(st.integers(1, 8), min_size=1, max_size=20)
SIZES = st.sets(st.integers(1, 8), max_size=3).map(tuple)


@given(
    rows=ROWS,
    age_s=st.floats(0, 1),
    delay_s=st.floats(0, 1),
    freed=st.booleans(),
    preferred=SIZES,
    start_by_s=st.lists(st.floats(0, 1), max_size=3).map(tuple),
    others=st.booleans(),
)
def test_whatever_waits_a_cut_fits_and_a_hold_ends(
    rows: list[int],
    age_s: float,
    delay_s: float,
    freed: bool,
    preferred: tuple[int, ...],
    start_by_s: tuple[float, ...],
    others: bool,
) -> None:
    answer = decision(
        rows,
        age_s=age_s,
        delay_s=delay_s,
        freed=freed,
        preferred=preferred,
        start_by_s=start_by_s,
        others=others,
    )
    if isinstance(answer, Hold):
        assert age_s < answer.until_s <= delay_s
        assert sum(rows) < 8
        return
    taken = sum(rows[: answer.requests])
    assert 1 <= taken <= 8
    if answer.reason == "preferred":
        assert taken in preferred
    else:
        assert answer.requests == len(rows) or taken + rows[answer.requests] > 8


@given(rows=ROWS, freed=st.booleans(), others=st.booleans())
def test_without_a_delay_nothing_is_ever_held_back(rows: list[int], freed: bool, others: bool) -> None:
    assert isinstance(decision(rows, freed=freed, others=others), Cut)


@given(rows=ROWS, delay_s=st.floats(0.001, 1), preferred=SIZES, earlier_s=st.floats(0, 1))
def test_time_never_turns_a_cut_back_into_a_hold(
    rows: list[int], delay_s: float, preferred: tuple[int, ...], earlier_s: float
) -> None:
    if isinstance(decision(rows, age_s=earlier_s, delay_s=delay_s, preferred=preferred), Cut):
        assert isinstance(decision(rows, age_s=earlier_s + 0.1, delay_s=delay_s, preferred=preferred), Cut)


@given(rows=ROWS, more=ROWS, delay_s=st.floats(0.001, 1), preferred=SIZES)
def test_more_requests_never_turn_a_cut_back_into_a_hold(
    rows: list[int], more: list[int], delay_s: float, preferred: tuple[int, ...]
) -> None:
    if isinstance(decision(rows, delay_s=delay_s, preferred=preferred), Cut):
        assert isinstance(decision(rows + more, delay_s=delay_s, preferred=preferred), Cut)
