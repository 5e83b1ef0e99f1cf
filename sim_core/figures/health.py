"""How agents ended: health, survival, and what was dealt and taken on the way."""

import polars as pl

from sim_core.figures.collection import KEY, Collection
from sim_core.figures.conduct import flag

AGENT = (*KEY, "team", "agent")
_SUMS = ("damage_dealt", "damage_taken", "healing_given", "healing_received", "pack_health")


def agent_ends(collection: Collection) -> pl.LazyFrame:
    """A row for each agent of each match: policy, version, health and alive at the end, sums over the match,
    kills. `version` is the one that made most decisions of the team in this match (of equals the higher); 0 =
    no model did."""
    rows = collection.rows()
    kills = flag(collection, "killed").sum() if "killed" in collection.header.events else pl.lit(0)
    agents = (
        rows.sort("tick")
        .group_by(AGENT)
        .agg(
            pl.col("policy").first(),
            pl.col("health", "alive").last(),
            pl.col(*_SUMS).cast(pl.Int64).sum(),
            kills.cast(pl.Int64).alias("kills"),
        )
    )
    versions = (
        rows.filter(pl.col("action").is_not_null())
        .group_by(*KEY, "team", "version")
        .agg(pl.len().alias("count"))
        .sort("count", "version")
        .group_by(*KEY, "team")
        .agg(pl.col("version").last())
    )
    return (
        agents.join(versions, on=[*KEY, "team"], how="left")
        .with_columns(pl.col("version").fill_null(0), pl.col("health").cast(pl.Int64))
        .select(*AGENT, "policy", "version", "health", "alive", *_SUMS, "kills")
        .sort(AGENT)
    )


def health_by(ends: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """A row for each value of the keys: agents, the share that survived, quartiles of the final health (of
    all, the dead with 0), and means of what was dealt and taken."""
    return (
        ends.group_by(keys)
        .agg(
            pl.len().cast(pl.Int64).alias("agents"),
            pl.col("alive").mean().alias("survived"),
            pl.col("health").mean().alias("health"),
            pl.col("health").std().alias("deviation"),
            *(
                pl.col("health").quantile(share, "linear").alias(name)
                for name, share in (("q25", 0.25), ("median", 0.5), ("q75", 0.75))
            ),
            pl.col("damage_dealt", "damage_taken", "healing_given", "healing_received", "kills").mean(),
        )
        .sort(keys)
    )


def survivors(ends: pl.DataFrame) -> pl.DataFrame:
    """policy, version, survivors, teams, share: how many teams ended with how many agents alive."""
    teams = ends.group_by(*KEY, "team", "policy", "version").agg(
        pl.col("alive").sum().cast(pl.Int64).alias("survivors")
    )
    counts = teams.group_by("policy", "version", "survivors").agg(pl.len().cast(pl.Int64).alias("teams"))
    share = pl.col("teams") / pl.col("teams").sum().over("policy", "version")
    return counts.with_columns(share.alias("share")).sort("policy", "version", "survivors")


def health_counts(ends: pl.DataFrame, *, most: int, bins: int = 16) -> pl.DataFrame:
    """policy, version, from_health, agents: the distribution of the final health. Bins are equally wide, the
    last one with its upper end; a bin that nobody is in has no row."""
    width = max(-(-most // bins), 1)
    place = (pl.col("health") // width * width).clip(0, (most - 1) // width * width)
    return (
        ends.group_by("policy", "version", place.cast(pl.Int64).alias("from_health"))
        .agg(pl.len().cast(pl.Int64).alias("agents"))
        .sort("policy", "version", "from_health")
    )


def most_health(collection: Collection) -> int:
    """What an agent starts with, and never exceeds."""
    rules = collection.header.rules
    return max(int(rules.get("health", 0)), int(rules.get("lives", 0)), 1)
