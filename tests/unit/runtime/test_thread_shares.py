"""One budget of threads, lent or split by weight."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.runtime.thread_shares import Claim, Sharing, ThreadBudget, lend, split

Rule = Callable[[Sequence[Claim], int], list[int]]
BUDGETS = st.integers(1, 128)
CLAIMS = st.lists(
    st.builds(
        Claim,
        weight=st.integers(1, 100),
        stated=st.just(0) | st.integers(1, 16),
        sessions=st.integers(1, 4),
    ),
    min_size=1,
    max_size=12,
)
LIGHT = st.lists(st.integers(1, 100), min_size=1, max_size=12).map(
    lambda weights: [Claim(weight) for weight in weights]
)


@given(CLAIMS, BUDGETS)
def test_split_pools_are_in_sum_no_more_than_the_budget_or_what_cannot_be_helped(
    claims: list[Claim], budget: int
) -> None:
    least = sum(claim.threads(claim.stated or 1) for claim in claims)
    shares = split(claims, budget)
    total = sum(claim.threads(share) for claim, share in zip(claims, shares, strict=True))
    assert total <= max(budget, least)
    assert min(shares) >= 1


@given(LIGHT, BUDGETS)
def test_split_leaves_nothing_over_where_each_model_has_one_session(claims: list[Claim], budget: int) -> None:
    assert sum(split(claims, budget)) == max(budget, len(claims))


@given(LIGHT, BUDGETS)
def test_split_gives_a_heavier_model_no_less_than_a_lighter_one(claims: list[Claim], budget: int) -> None:
    shares = split(claims, budget)
    pairs = sorted(zip([claim.weight for claim in claims], shares, strict=True))
    assert all(low <= high for (light, low), (heavy, high) in pairwise(pairs) if light < heavy)


@given(CLAIMS, BUDGETS)
def test_lent_pools_are_whole_for_the_heaviest_and_in_proportion_for_others(
    claims: list[Claim], budget: int
) -> None:
    heaviest = max(claim.weight for claim in claims)
    for claim, share in zip(claims, lend(claims, budget), strict=True):
        if claim.stated:
            assert share == claim.stated
        else:
            assert 1 <= share <= budget
            assert abs(share - budget * claim.weight / heaviest) <= 1


@given(CLAIMS, BUDGETS)
@pytest.mark.parametrize("rule", [lend, split])
def test_what_a_config_states_is_what_it_gets(rule: Rule, claims: list[Claim], budget: int) -> None:
    shares = rule(claims, budget)
    assert all(share == claim.stated for share, claim in zip(shares, claims, strict=True) if claim.stated)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        pytest.param([Claim()], [8], id="alone: all"),
        pytest.param([Claim(), Claim()], [4, 4], id="two alike: half each"),
        pytest.param([Claim(3), Claim(1)], [6, 2], id="by weight"),
        pytest.param([Claim(stated=6), Claim()], [6, 2], id="what is stated goes first"),
        pytest.param([Claim(stated=9), Claim()], [9, 1], id="even where nothing is left"),
        pytest.param([Claim(sessions=2), Claim()], [3, 2], id="each session counts"),
        pytest.param([Claim()] * 20, [1] * 20, id="always one each"),
    ],
)
def test_a_budget_of_eight_is_split(claims: list[Claim], expected: list[int]) -> None:
    assert split(claims, 8) == expected


def pools(budget: ThreadBudget, *models: str) -> list[int]:
    """The threads of these models, loaded in this order."""
    with ExitStack() as loaded:
        return [loaded.enter_context(budget.claim(model, Claim())) for model in models]


@pytest.mark.parametrize(("sharing", "expected"), [("lend", [4, 4]), ("split", [4, 1])])
def test_a_session_that_runs_keeps_its_pool_when_others_come(sharing: Sharing, expected: list[int]) -> None:
    assert pools(ThreadBudget(4, sharing), "a", "b") == expected


def test_models_that_are_on_their_way_count_already() -> None:
    budget = ThreadBudget(4, "split")
    budget.expect(frozenset({"a", "b"}))
    assert pools(budget, "a", "b") == [2, 2]


def test_what_is_unloaded_leaves_its_share_to_the_next() -> None:
    budget = ThreadBudget(4, "split")
    with budget.claim("a", Claim()), budget.claim("b", Claim()):
        pass
    with budget.claim("c", Claim()) as share:
        assert share == 4
        assert budget.shares == {"c": 4}
    assert budget.shares == {}


@given(CLAIMS, BUDGETS)
def test_split_pools_stay_within_the_budget_whenever_models_come(claims: list[Claim], budget: int) -> None:
    """But for what configs state, and one thread for each session, which is the caller's own."""
    shared = ThreadBudget(budget, "split")
    with ExitStack() as loaded:
        for number, claim in enumerate(claims):
            before = sum(shared.shares.values())
            share = loaded.enter_context(shared.claim(f"model {number}", claim))
            if not claim.stated and share > 1:
                assert before + claim.threads(share) <= budget


@pytest.mark.parametrize("sharing", ["lend", "split"])
def test_a_version_that_is_replaced_takes_nothing_from_the_one_after_it(sharing: Sharing) -> None:
    budget = ThreadBudget(4, sharing)
    with budget.claim("a", Claim(8), 1), budget.claim("a", Claim(), 1) as again:
        assert again == 4
    budget.expect(frozenset({"a"}))
    budget.want("a", [2])
    with budget.claim("a", Claim(8), 1), budget.claim("a", Claim(), 2) as next_one:
        assert next_one == 4


def test_versions_that_shall_serve_together_share() -> None:
    budget = ThreadBudget(4, "split")
    budget.expect(frozenset({"a"}))
    budget.want("a", [1, 2])
    with budget.claim("a", Claim(), 1) as first, budget.claim("a", Claim(), 2) as second:
        assert (first, second) == (2, 2)


def test_it_says_who_has_how_many() -> None:
    budget = ThreadBudget(4)
    assert str(budget) == "4 for models, lent: none is loaded"
    with budget.claim("b", Claim()), budget.claim("a", Claim(stated=1, sessions=2)):
        assert str(budget) == "4 for models, lent: a 2, b 4; 6 together"


def test_more_stated_threads_than_the_budget_are_worth_a_warning_that_names_them() -> None:
    budget = ThreadBudget(4)
    with budget.claim("a", Claim(stated=3)):
        assert budget.excess() == ""
        with budget.claim("b", Claim(beside=1)):
            assert "state 5 threads (a 3, b 2) and the budget is 4" in budget.excess()
