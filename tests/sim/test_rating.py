"""Ratings say what the results say, and how sure that is."""

import math

import pytest

from sim_core.matches.rating import MEAN, rate, share_interval
from sim_core.matches.results import Score


def test_ten_wins_to_one_are_400_points() -> None:
    first, second = rate([Score(0, 1, 10_000, 0, 1_000)], 2)

    assert first.elo - second.elo == pytest.approx(400, abs=1)
    assert first.elo + second.elo == pytest.approx(2 * MEAN)
    assert first.low < first.elo < first.high


def test_more_matches_make_it_surer() -> None:
    few, many = rate([Score(0, 1, 12, 2, 6)], 2)[0], rate([Score(0, 1, 1200, 200, 600)], 2)[0]
    assert many.high - many.low < (few.high - few.low) / 5


def test_draws_are_half_a_win_each() -> None:
    first, second = rate([Score(0, 1, 0, 50, 0)], 2)
    assert first.elo == pytest.approx(second.elo)


def test_who_never_lost_has_a_rating_and_an_interval() -> None:
    first, _ = rate([Score(0, 1, 20, 0, 0)], 2)
    assert math.isfinite(first.elo)
    assert first.low < first.elo < first.high


def test_three_are_rated_by_all_their_matches() -> None:
    ratings = rate([Score(0, 1, 30, 0, 70), Score(1, 2, 30, 0, 70), Score(0, 2, 16, 0, 84)], 3)
    assert [rating.elo for rating in ratings] == sorted(rating.elo for rating in ratings)
    # 70 of 100, twice, is what 84 of 100 is once: the results fit each other.
    assert ratings[2].elo - ratings[0].elo == pytest.approx(2 * 400 * math.log10(7 / 3), abs=10)


def test_the_same_results_give_the_same_ratings() -> None:
    scores = [Score(0, 1, 7, 1, 3)]
    assert rate(scores, 2) == rate(scores, 2)


def test_shares_have_wilsons_interval() -> None:
    assert share_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert share_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert share_interval(0, 0) == (0.0, 1.0)
