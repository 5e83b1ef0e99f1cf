"""What policies do: their actions over time, where they are, and how two of them differ.

Each function takes the rows of a collection and gives a lazy frame, so that a caller collects several of
them together and the rows are read once.
"""

from itertools import combinations
from typing import Final

import polars as pl

from sim_core.figures.collection import Collection

PHASES: Final = 20
"""Equal parts of the longest time that a match can take."""
BANDS: Final = ("low", "middle", "high")
"""Of an agent's own health before it decides: up to a third of the most, up to two thirds, above."""


def most_ticks(collection: Collection) -> int:
    """The longest of the matches; at least 1."""
    return max((entry.ticks for replay in collection.replays for entry in replay.matches), default=1) or 1


def phase_ticks(collection: Collection) -> int:
    """The length of a phase."""
    return -(-most_ticks(collection) // PHASES)


def action_counts(collection: Collection) -> pl.LazyFrame:
    """policy, phase, action, count: decisions, fallbacks among them. Phase 0 begins with tick 1."""
    return (
        collection.rows()
        .filter(pl.col("action").is_not_null())
        .select("policy", ((pl.col("tick") - 1) // phase_ticks(collection)).alias("phase"), "action")
        .group_by("policy", "phase", "action")
        .agg(pl.len().cast(pl.Int64).alias("count"))
        .sort("policy", "phase", "action")
    )


def action_mix(collection: Collection, counts: pl.DataFrame, *, over_time: bool) -> pl.DataFrame:
    """`counts` as shares: a row for each policy (and phase), a column for each action; they add up to 1."""
    keys = ["policy", "phase"] if over_time else ["policy"]
    totals = counts.group_by(*keys, "action").agg(pl.col("count").sum())
    per_row = pl.col("count").sum().over(keys)
    shares = totals.with_columns((pl.col("count") / per_row).alias("share"))
    names = collection.header.actions
    wide = shares.group_by(keys).agg(
        [
            pl.col("share").filter(pl.col("action") == number).sum().alias(name)
            for number, name in enumerate(names)
        ]
        + [pl.col("count").sum().alias("decisions")]
    )
    wide = wide.sort(keys)
    if over_time:
        length = phase_ticks(collection)
        wide = wide.with_columns((pl.col("phase").cast(pl.Int64) * length + 1).alias("from_tick")).drop(
            "phase"
        )
    return named(collection, wide)


def answered_by(collection: Collection) -> pl.LazyFrame:
    """policy, version, weights, decisions: which models answered. Several of a policy: it was reloaded."""
    return (
        collection.rows()
        .filter(pl.col("action").is_not_null() & (pl.col("version") > 0))
        .group_by("policy", "version", "weights")
        .agg(pl.len().cast(pl.Int64).alias("decisions"))
        .sort("policy", "version", "weights")
    )


def places(collection: Collection) -> pl.LazyFrame:
    """policy, x, y, positions, deaths: how often an agent that was alive was there after a tick, and how
    often one ended there. As seen by a team that starts on the left: the other team's x is mirrored."""
    rows, header = collection.rows(), collection.header
    died = flag(collection, "died") if "died" in header.events else pl.lit(value=False)
    x = (
        pl.when(pl.col("team") == 1)
        .then(header.width - 1 - pl.col("x").cast(pl.Int32))
        .otherwise(pl.col("x"))
    )
    return (
        rows.filter(pl.col("tick") > 0)
        .select(
            "policy", x.cast(pl.Int32).alias("x"), pl.col("y").cast(pl.Int32), "alive", died.alias("died")
        )
        .filter(pl.col("alive") | pl.col("died"))
        .group_by("policy", "x", "y")
        .agg(
            pl.col("alive").sum().cast(pl.Int64).alias("positions"),
            pl.col("died").sum().cast(pl.Int64).alias("deaths"),
        )
        .sort("policy", "y", "x")
    )


def band_counts(collection: Collection) -> pl.LazyFrame:
    """policy, band, action, count: decisions by the agent's health before them, as a place in BANDS."""
    rules = collection.header.rules
    most = max(int(rules.get("health", 0)), int(rules.get("lives", 0)), 1)
    before = (
        pl.col("health").cast(pl.Int32)
        + pl.col("damage_taken")
        - pl.col("healing_received")
        - pl.col("pack_health")
    )
    band = ((before * 3 - 1).clip(0) // most).clip(0, 2)
    return (
        collection.rows()
        .filter(pl.col("action").is_not_null())
        .group_by("policy", band.cast(pl.Int32).alias("band"), "action")
        .agg(pl.len().cast(pl.Int64).alias("count"))
        .sort("policy", "band", "action")
    )


def differences(collection: Collection, bands: pl.DataFrame) -> pl.DataFrame:
    """Of each two policies, how far apart the shares of their actions are, for all decisions and for those in
    each band of health: the total variation distance (0 = the same, 1 = nothing in common), and the action
    that differs most, with how much more often the second takes it."""
    names = collection.header.actions
    rows = []
    for first, second in combinations(range(len(collection.policies)), 2):
        for band in (None, *range(len(BANDS))):
            shares = [_shares(bands, place, band, len(names)) for place in (first, second)]
            if shares[0] is None or shares[1] is None:
                continue
            more = [there - here for here, there in zip(*shares, strict=True)]
            most = max(range(len(names)), key=lambda action: abs(more[action]))
            rows.append(
                {
                    "first": collection.policies[first],
                    "second": collection.policies[second],
                    "health": "any" if band is None else BANDS[band],
                    "distance": sum(abs(each) for each in more) / 2,
                    "action": names[most],
                    "more_often": more[most],
                }
            )
    return pl.DataFrame(rows, schema={
        "first": pl.String, "second": pl.String, "health": pl.String, "distance": pl.Float64,
        "action": pl.String, "more_often": pl.Float64,
    })  # fmt: skip


def _shares(bands: pl.DataFrame, policy: int, band: int | None, actions: int) -> list[float] | None:
    mine = bands.filter(policy=policy) if band is None else bands.filter(policy=policy, band=band)
    total = int(mine["count"].sum())
    if not total:
        return None
    counts = dict(mine.group_by("action").agg(pl.col("count").sum()).iter_rows())
    return [counts.get(action, 0) / total for action in range(actions)]


def flag(collection: Collection, event: str) -> pl.Expr:
    """Whether a row has this event, which the header must name."""
    bit: int = 2 ** collection.header.events.index(event)
    return pl.col("events") // bit % 2 == 1


def named(collection: Collection, frame: pl.DataFrame) -> pl.DataFrame:
    """The policies by their names, as the first column."""
    names = pl.col("policy").replace_strict(dict(enumerate(collection.policies)), return_dtype=pl.String)
    return frame.select(names, pl.exclude("policy"))
