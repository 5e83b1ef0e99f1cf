"""Agents that get nowhere: stuck in a cell, or going back and forth."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from sim_core.figures.collection import KEY, Collection

STUCK_TICKS: Final = 12
"""So many ticks in a row in which an agent decided, stayed in its cell, and neither gave nor took."""
OSCILLATION_TICKS: Final = 8
"""So many ticks in a row after each of which it was where it had been two ticks before, and not where it had
been one tick before."""


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    holds: pl.Expr
    least: int


def anomalies(collection: Collection) -> pl.LazyFrame:
    """kind, replay, match, agent, policy, from_tick, ticks, x, y (at the end): the longest first. None where
    the game has no places, which its events tell."""
    if "moved" not in collection.header.events:
        return pl.LazyFrame(schema={
            "kind": pl.String, "replay": pl.Int32, "match": pl.Int32, "agent": pl.Int8, "policy": pl.Int32,
            "from_tick": pl.Int16, "ticks": pl.Int64, "x": pl.Int8, "y": pl.Int8,
        })  # fmt: skip
    exchanged = pl.sum_horizontal(
        "damage_dealt", "damage_taken", "healing_given", "healing_received", "pack_health"
    )
    rows = (
        collection.rows()
        .select(
            *KEY, "agent", "tick", "policy", "x", "y",
            (pl.col("action").is_not_null() & pl.col("alive")).alias("decided"),
            (exchanged == 0).alias("quiet"),
        )
        .sort(*KEY, "agent", "tick")
        .with_columns(
            _as_before(1).alias("same_1"),
            _as_before(2).alias("same_2"),
            (pl.col("tick") >= 2).alias("later"),
        )
    )  # fmt: skip
    kinds = (
        _Kind("stuck", pl.col("decided") & pl.col("same_1") & pl.col("quiet"), STUCK_TICKS),
        _Kind(
            "oscillation",
            pl.col("decided") & pl.col("later") & pl.col("same_2") & ~pl.col("same_1"),
            OSCILLATION_TICKS,
        ),
    )
    found = pl.concat([_runs(rows, kind) for kind in kinds])
    return found.sort("ticks", "kind", *KEY, "agent", descending=[True, False, False, False, False])


def _as_before(ticks: int) -> pl.Expr:
    """Whether the row so many before is of the same agent and in the same cell; rows are in that order."""
    columns = (*KEY, "agent", "x", "y")
    return pl.all_horizontal(pl.col(name) == pl.col(name).shift(ticks) for name in columns).fill_null(
        value=False
    )


def _runs(rows: pl.LazyFrame, kind: _Kind) -> pl.LazyFrame:
    """Stretches of rows of one agent in which it holds, if they are long enough."""
    return (
        rows.with_columns(kind.holds.alias("holds"))
        .with_columns(pl.struct(*KEY, "agent", "holds").rle_id().alias("run"))
        .filter("holds")
        .group_by("run")
        .agg(
            pl.col(*KEY, "agent", "policy").first(),
            pl.col("tick").first().alias("from_tick"),
            pl.len().cast(pl.Int64).alias("ticks"),
            pl.col("x", "y").last(),
        )
        .filter(pl.col("ticks") >= kind.least)
        .select(
            pl.lit(kind.name).alias("kind"), *KEY, "agent", "policy", "from_tick", "ticks", "x", "y"
        )
    )  # fmt: skip


def anomaly_counts(collection: Collection, found: pl.DataFrame) -> pl.DataFrame:
    """A row for each policy: how many of each kind, the longest, and the matches that have one."""
    rows = []
    for place, name in enumerate(collection.policies):
        mine = found.filter(policy=place)
        row: dict[str, object] = {"policy": name}
        for kind in ("stuck", "oscillation"):
            of_kind = mine.filter(kind=kind)
            row[kind] = len(of_kind)
            row[f"longest_{kind}"] = of_kind["ticks"].max() or 0
        row["matches"] = mine.select(*KEY).n_unique() if len(mine) else 0
        rows.append(row)
    return pl.DataFrame(rows)
