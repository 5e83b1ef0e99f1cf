"""How strong policies are: Elo ratings by maximum likelihood (Bradley and Terry), with bootstrap intervals.

All matches count at once, so their order does not matter, as it does for ratings that are updated match by
match. The bootstrap is Rubin's (1981): it weighs matches anew instead of drawing them, so that a policy that
never lost has an interval too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sim_core.matches.results import Score

MEAN: Final = 1500.0
_ELO: Final = 400 / math.log(10)
_PRIOR: Final = 0.5
"""Won and lost by each policy of a pair, besides what happened: who never lost has a rating all the same."""
_ROUNDS: Final = 300
_RESAMPLES: Final = 1000
_Z: Final = 1.959964
"""Of 95 %."""


@dataclass(frozen=True, slots=True)
class Rating:
    """The mean of all policies is 1500. 400 more are ten wins to one."""

    elo: float
    low: float
    """Of the interval of 95 %."""
    high: float


def rate(scores: Sequence[Score], policies: int, seed: int = 1) -> list[Rating]:
    """The same scores and seed give the same ratings. A draw is half a win."""
    rng = np.random.Generator(np.random.Philox(seed))
    won = np.zeros((_RESAMPLES + 1, policies, policies))
    for score in scores:
        counts = np.array([score.won + _PRIOR, score.drawn, score.lost + _PRIOR])
        weights = rng.standard_gamma(counts, size=(_RESAMPLES, 3))
        drawn_again = weights / weights.sum(axis=1, keepdims=True) * counts.sum()
        tables = np.concatenate([counts[None], drawn_again])
        won[:, score.first, score.second] = tables[:, 0] + tables[:, 1] / 2
        won[:, score.second, score.first] = tables[:, 2] + tables[:, 1] / 2
    elo = _ELO * _strengths(won) + MEAN
    low, high = np.percentile(elo[1:], [2.5, 97.5], axis=0)
    return [Rating(*(float(value) for value in each)) for each in zip(elo[0], low, high, strict=True)]


def _strengths(won: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Logarithms, of mean 0, of the strengths under which these results are likeliest: Hunter's
    minorization-maximization (2004), for many tables [tables, policies, policies] at once."""
    played = won + won.swapaxes(1, 2)
    wins = won.sum(axis=2)
    strength = np.ones(won.shape[:2])
    for _ in range(_ROUNDS):
        expected = (played / (strength[:, :, None] + strength[:, None, :])).sum(axis=2)
        # Who met nobody keeps the strength of the mean.
        strength = np.where(expected > 0, wins / np.where(expected > 0, expected, 1), 1)
        strength /= np.exp(np.log(strength).mean(axis=1, keepdims=True))
    return np.log(strength)


def share_interval(won: float, of: int) -> tuple[float, float]:
    """Wilson's interval of 95 % for a share."""
    if not of:
        return (0.0, 1.0)
    share = won / of
    centre = (share + _Z**2 / (2 * of)) / (1 + _Z**2 / of)
    half = _Z * math.sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2)) / (1 + _Z**2 / of)
    return (max(0.0, centre - half), min(1.0, centre + half))


def score_row(policies: Sequence[str], score: Score) -> dict[str, str | int | float]:
    """A pair that met, with the share that the first won and its interval, for tables and documents."""
    low, high = share_interval(score.won, score.matches)
    return {
        "first": policies[score.first],
        "second": policies[score.second],
        "won": score.won,
        "drawn": score.drawn,
        "lost": score.lost,
        "wins": score.won / score.matches,
        "wins_low": low,
        "wins_high": high,
    }
