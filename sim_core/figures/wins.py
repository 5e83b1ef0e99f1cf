"""Who won: of each policy, and of each two that met."""

from collections import Counter

import polars as pl

from sim_core.figures.collection import Collection
from sim_core.matches.rating import rate, score_row, share_interval
from sim_core.matches.results import Score
from sim_core.replays.histogram import quantile_ms


def win_rates(collection: Collection) -> pl.DataFrame:
    """A row for each policy. A match of a policy against itself counts as `mirror` alone: it would be won and
    lost at once. `wins` is the share of the others that it won, with Wilson's interval of 95 %."""
    rows = []
    sides = collection.sides()
    for place, name in enumerate(collection.policies):
        mine = [side for side in sides if side.policy == place]
        met = [side for side in mine if side.other != place]
        won = sum(side.entry.winner == side.team for side in met)
        drawn = sum(side.entry.winner is None for side in met)
        low, high = share_interval(won, len(met))
        rows.append(
            {
                "policy": name,
                "won": won,
                "drawn": drawn,
                "lost": len(met) - won - drawn,
                "mirror": (len(mine) - len(met)) // 2,
                "wins": won / len(met) if met else None,
                "wins_low": low,
                "wins_high": high,
                "wins_left": _share([side.entry.winner == 0 for side in met if side.team == 0]),
                "wins_right": _share([side.entry.winner == 1 for side in met if side.team == 1]),
                "ticks": _mean([side.entry.ticks for side in mine]),
            }
        )
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(
        ("wins", "wins_left", "wins_right", "ticks"), pl.Float64))  # fmt: skip


def pair_scores(collection: Collection) -> list[Score]:
    """Of each two policies that met, by their places in the collection."""
    counts: dict[tuple[int, int], list[int]] = {}
    for side in collection.sides():
        if side.policy >= side.other:
            continue
        row = counts.setdefault((side.policy, side.other), [0, 0, 0])
        row[1 if side.entry.winner is None else 0 if side.entry.winner == side.team else 2] += 1
    return [Score(*pair, *counts[pair]) for pair in sorted(counts)]


def pairs(collection: Collection) -> pl.DataFrame:
    """The same as a table, with the share that the first won, and its interval."""
    rows = [score_row(collection.policies, score) for score in pair_scores(collection)]
    return pl.DataFrame(rows, schema={
        "first": pl.String, "second": pl.String, "won": pl.Int64, "drawn": pl.Int64, "lost": pl.Int64,
        "wins": pl.Float64, "wins_low": pl.Float64, "wins_high": pl.Float64,
    })  # fmt: skip


def standings(collection: Collection, seed: int = 1) -> pl.DataFrame:
    """The table of the tournament that these matches are: points are 2 for a win and 1 for a draw; Elo as
    `sim_core.matches.rating` has it, with its bootstrap interval. The best first."""
    wins = win_rates(collection).select("policy", "won", "drawn", "lost")
    ratings = rate(pair_scores(collection), len(collection.policies), seed)
    return wins.with_columns(
        (pl.col("won") * 2 + pl.col("drawn")).alias("points"),
        pl.Series("elo", [rating.elo for rating in ratings]),
        pl.Series("elo_low", [rating.low for rating in ratings]),
        pl.Series("elo_high", [rating.high for rating in ratings]),
    ).sort("elo", "policy", descending=[True, False])


def decision_counts(collection: Collection) -> pl.DataFrame:
    """A row for each policy: decisions, which share of them were fallbacks, and how long they took (null
    where no server was asked)."""
    sides = collection.sides()
    rows = []
    for place, latencies in enumerate(collection.latencies()):
        mine = [side for side in sides if side.policy == place]
        decisions = sum(side.entry.decisions[side.team] for side in mine)
        fallbacks = sum(sum(side.entry.fallbacks[side.team].values()) for side in mine)
        asked = latencies.most_ms > 0 and sum(latencies.counts) > 0
        rows.append(
            {
                "policy": collection.policies[place],
                "decisions": decisions,
                "fallbacks": fallbacks,
                "fallback_share": fallbacks / decisions if decisions else None,
                "mean_ms": latencies.total_ms / sum(latencies.counts) if asked else None,
                "p50_ms": quantile_ms(latencies, 0.5) if asked else None,
                "p90_ms": quantile_ms(latencies, 0.9) if asked else None,
                "p99_ms": quantile_ms(latencies, 0.99) if asked else None,
                "most_ms": latencies.most_ms if asked else None,
            }
        )
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(
        ("fallback_share", "mean_ms", "p50_ms", "p90_ms", "p99_ms", "most_ms"), pl.Float64))  # fmt: skip


def fallback_reasons(collection: Collection) -> pl.DataFrame:
    """How many fallbacks of each reason each policy had; a row for each that happened."""
    counts: Counter[tuple[int, str]] = Counter()
    for side in collection.sides():
        for reason, count in side.entry.fallbacks[side.team].items():
            counts[side.policy, reason.value] += count
    return pl.DataFrame(
        [
            (collection.policies[place], reason, count)
            for (place, reason), count in sorted(counts.items())
        ],
        schema={"policy": pl.String, "reason": pl.String, "fallbacks": pl.Int64},
        orient="row",
    )  # fmt: skip


def _share(values: list[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _mean(values: list[int]) -> float | None:
    return sum(values) / len(values) if values else None
