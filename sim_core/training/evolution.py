"""Evolution strategies: a gradient from the ranks of pairs of opposite changes (Salimans et al., 2017)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Advance = Callable[[int, float], None]
"""Hears of each generation, and the mean of its ratings."""


@dataclass(frozen=True, slots=True)
class Evolution:
    """How to search."""

    generations: int
    matches: int = 8
    """Of each candidate in a generation; all candidates of a generation play the same ones."""
    pairs: int = 32
    """Of opposite changes in a generation."""
    spread: float = 0.1
    """Standard deviation of a change."""
    rate: float = 0.05
    """Of Adam."""
    decay: float = 0.001
    """Share that the parameters lose in each generation, so that they stay small."""


def played(search: Evolution, generation: int) -> range:
    """The numbers of a generation's matches: no two generations share any."""
    return range(generation * search.matches, (generation + 1) * search.matches)


def evolve(
    start: Vector,
    fitness: Callable[[Vector, int], Vector],
    search: Evolution,
    rng: np.random.Generator,
    advance: Advance,
) -> Vector:
    """Parameters that are fitter than `start`.

    `fitness` gets candidates [n, parameters] and the generation, and rates each.
    """
    parameters = start.copy()
    first, second = np.zeros_like(start), np.zeros_like(start)
    mean = np.zeros_like(start)
    for generation in range(search.generations):
        change = rng.standard_normal((search.pairs, len(start))) * search.spread
        rated = fitness(np.concatenate([parameters + change, parameters - change]), generation)
        ranks = _centred_ranks(rated)
        gradient = (ranks[: search.pairs] - ranks[search.pairs :]) @ change / (search.pairs * search.spread)
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        step = first / (1 - 0.9 ** (generation + 1))
        scale = np.sqrt(second / (1 - 0.99 ** (generation + 1))) + 1e-8
        parameters = parameters * (1 - search.decay) + search.rate * step / scale
        # The last half, averaged: single generations jump about.
        if generation >= search.generations // 2:
            mean += parameters
        advance(generation, float(rated.mean()))
    return mean / (search.generations - search.generations // 2)


def _centred_ranks(rated: Vector) -> Vector:
    """From -0.5 to 0.5. Equals share their rank: candidates that are all alike give no direction."""
    _, place, counts = np.unique(rated, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts + 1) / 2
    return np.asarray(ranks[place] / (len(rated) - 1) - 0.5, np.float64)
