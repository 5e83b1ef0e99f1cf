import math

import pytest

from onnxd_client import errors
from onnxd_client.errors import (
    ConnectFailed,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerError,
    ServerFault,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from onnxd_client.retry import Retries, RetryBudget, RetryPolicy, retriable


def retries(policy: RetryPolicy | None = None, chance: float = 1.0) -> Retries:
    policy = policy or RetryPolicy()
    return Retries(policy, RetryBudget(policy), lambda: chance)


def delays(tries: Retries, error: ServerError, count: int, left: float = math.inf) -> list[float | None]:
    return [tries.delay_after(error, left) for _ in range(count)]


def test_waits_double_and_end_after_four_tries() -> None:
    assert delays(retries(), Unavailable("full"), 4) == [0.1, 0.2, 0.4, None]


def test_a_wait_is_drawn_from_the_whole_range() -> None:
    assert delays(retries(chance=0.0), Unavailable("full"), 2) == [0.0, 0.0]
    assert delays(retries(chance=0.5), Unavailable("full"), 2) == [0.05, 0.1]


def test_waits_are_capped_at_ten_seconds() -> None:
    found = delays(retries(RetryPolicy(max_tries=10)), Unavailable("full"), 9)
    assert found[6:] == [pytest.approx(6.4), 10.0, 10.0]


def test_the_server_is_not_asked_again_before_the_time_it_named() -> None:
    assert delays(retries(), Unavailable("full", retry_after=3.0), 2) == [3.0, 3.0]
    assert delays(retries(), Unavailable("full", retry_after=0.01), 1) == [0.1]


@pytest.mark.parametrize("hint", [61.0, math.inf], ids=["longer than worth waiting", "never"])
def test_a_server_that_wants_us_to_stay_away_is_left_alone(hint: float) -> None:
    assert delays(retries(), Unavailable("full", retry_after=hint), 1) == [None]


def test_a_wait_never_uses_up_the_deadline() -> None:
    assert delays(retries(), Unavailable("full"), 1, left=0.1) == [None]
    assert delays(retries(), Unavailable("full", retry_after=2), 1, left=1.5) == [None]
    assert delays(retries(), Unavailable("full"), 1, left=0.11) == [0.1]


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (Unavailable("x"), True),
        (ConnectFailed("x"), True),
        (DeadlineExceeded("x"), True),
        (RateLimited("x", retry_after=1), True),
        (RateLimited("x"), False),
        (InvalidRequest("x"), False),
        (NotFound("x"), False),
        (Unauthenticated("x"), False),
        (PermissionDenied("x"), False),
        (TooLarge("x"), False),
        (ServerFault("x"), False),
        (ServerError("x"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ServerError) else str(value),
)
def test_only_what_may_pass_is_tried_again(error: ServerError, again: bool) -> None:
    assert retriable(error) is again


def test_the_list_above_is_complete() -> None:
    marks = [mark for mark in test_only_what_may_pass_is_tried_again.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]  # pytest puts it there
    tried = {type(error) for error, _ in marks[0].args[1]}
    assert tried == {kind for kind in vars(errors).values() if isinstance(kind, type)}


def test_the_budget_allows_a_burst_and_then_one_retry_in_ten_calls() -> None:
    policy = RetryPolicy()
    budget = RetryBudget(policy)
    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]
    spent = 0
    for _ in range(100):
        budget.earn()
        spent += budget.spend()
    assert spent in (9, 10)  # ten, less what rounding of 0.1 takes


def test_without_budget_the_first_error_is_final() -> None:
    policy = RetryPolicy(burst=1, budget=0)
    budget = RetryBudget(policy)
    first, second = (Retries(policy, budget, lambda: 1.0) for _ in range(2))
    assert first.delay_after(Unavailable("full"), math.inf) == 0.1
    assert first.delay_after(Unavailable("full"), math.inf) is None
    assert second.delay_after(Unavailable("full"), math.inf) is None


def test_errors_that_are_final_cost_no_budget() -> None:
    policy = RetryPolicy(burst=1)
    budget = RetryBudget(policy)
    Retries(policy, budget).delay_after(NotFound("x"), math.inf)
    assert budget.spend()


@pytest.mark.parametrize(
    ("name", "value"), [("max_tries", 0), ("base", -1), ("cap", math.nan), ("budget", -0.1)]
)
def test_a_policy_that_makes_no_sense_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        RetryPolicy(**{name: value})  # type: ignore[arg-type]  # the field's type is what varies
