"""How much better one policy or version ends than another: an effect size with a bootstrap interval.

The unit is a team in a match, with the mean final health of its agents: agents of a team share their fate, so
that they are no independent samples. Whole matches are drawn again, so that two that met each other, whose
results depend on each other, are drawn together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from sim_core.figures.collection import KEY

RESAMPLES: Final = 2000
_AT_ONCE: Final = 4_000_000
"""Drawn counts that are held in memory at a time."""
_PERCENTILES: Final = (2.5, 97.5)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Effect:
    """Of the second over the first."""

    difference: float
    """Of the means."""
    low: float
    """Of the interval of 95 %."""
    high: float
    size: float | None
    """Cohen's d: the difference in pooled standard deviations; None = there is no deviation."""
    size_low: float | None
    size_high: float | None


def team_health(ends: pl.DataFrame) -> pl.DataFrame:
    """replay, match, team, policy, version, health: the mean of the agents'."""
    keys = (*KEY, "team", "policy", "version")
    return ends.group_by(keys).agg(pl.col("health").mean()).sort(keys)


def effects(
    ends: pl.DataFrame, names: Sequence[str], *, seed: int, resamples: int = RESAMPLES
) -> pl.DataFrame:
    """Of each two groups (a policy's version) a row: teams of each, and the effect of the second over the
    first. The same rows and seed give the same intervals. A group with a single team has no row."""
    teams = team_health(ends)
    groups = teams.group_by("policy", "version").len().sort("policy", "version")
    wide = [(policy, version) for policy, version, count in groups.iter_rows() if count > 1]
    rows = []
    for number, (first, second) in enumerate(combinations(wide, 2)):
        one, other = (teams.filter(policy=policy, version=version) for policy, version in (first, second))
        rng = np.random.Generator(np.random.Philox(key=[seed, number]))
        effect = effect_of(one, other, rng, resamples)
        rows.append(
            {
                "first": group_name(names[first[0]], first[1]),
                "second": group_name(names[second[0]], second[1]),
                "teams_first": len(one),
                "teams_second": len(other),
                "difference": effect.difference,
                "low": effect.low,
                "high": effect.high,
                "d": effect.size,
                "d_low": effect.size_low,
                "d_high": effect.size_high,
            }
        )  # fmt: skip
    floats = ("difference", "low", "high", "d", "d_low", "d_high")
    return pl.DataFrame(rows, schema={
        "first": pl.String, "second": pl.String, "teams_first": pl.Int64, "teams_second": pl.Int64,
        **dict.fromkeys(floats, pl.Float64),
    })  # fmt: skip


def group_name(policy: str, version: int) -> str:
    """A policy with the version that answered, unless its name says it or no model did."""
    return policy if not version or policy.endswith(f":{version}") else f"{policy} v{version}"


def effect_of(one: pl.DataFrame, other: pl.DataFrame, rng: np.random.Generator, resamples: int) -> Effect:
    """Of two frames of `team_health`."""
    moments = _moments(one, other)
    difference, size = _measure(moments.sum(axis=0)[None])
    differences: list[Floats] = []
    sizes: list[Floats] = []
    matches = len(moments)
    chunk = max(_AT_ONCE // matches, 1)
    for begin in range(0, resamples, chunk):
        count = min(chunk, resamples - begin)
        drawn = rng.multinomial(matches, np.full(matches, 1 / matches), size=count)
        for values, into in zip(_measure(drawn @ moments), (differences, sizes), strict=True):
            into.append(values)
    # A resample without one of the groups, or without any deviation, says nothing.
    low, high = np.nanpercentile(np.concatenate(differences), _PERCENTILES)
    known = np.concatenate(sizes)
    known = known[~np.isnan(known)]
    has_size = len(known) > 0 and not np.isnan(size[0])
    size_low, size_high = np.percentile(known, _PERCENTILES) if has_size else (np.nan, np.nan)
    return Effect(
        float(difference[0]),
        float(low),
        float(high),
        float(size[0]) if has_size else None,
        float(size_low) if has_size else None,
        float(size_high) if has_size else None,
    )


def _moments(one: pl.DataFrame, other: pl.DataFrame) -> Floats:
    """[matches, 6]: of each match, number, sum and sum of squares of either group's teams."""
    health = pl.col("health")
    parts = [
        frame.group_by(KEY)
        .agg(pl.len().cast(pl.Float64).alias("n"), health.sum().alias("s"), (health**2).sum().alias("q"))
        .rename({name: f"{name}{place}" for name in "nsq"})
        for place, frame in enumerate((one, other))
    ]
    joined = parts[0].join(parts[1], on=KEY, how="full", coalesce=True).sort(KEY)
    return joined.select("n0", "s0", "q0", "n1", "s1", "q1").fill_null(0.0).to_numpy().astype(np.float64)


def _measure(sums: Floats) -> tuple[Floats, Floats]:
    """[resamples, 6] to the differences of means and the sizes; NaN where there is none."""
    n0, s0, q0, n1, s1, q1 = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = s1 / n1 - s0 / n0
        spread = np.maximum(q0 - s0**2 / n0, 0) + np.maximum(q1 - s1**2 / n1, 0)
        pooled = np.sqrt(spread / (n0 + n1 - 2))
        # What is left of squares that cancel out is not a deviation.
        size = np.where(pooled > 1e-6, difference / pooled, np.nan)
    return difference, size
