"""How matches went: who led when, who killed whom, and where it turned."""

from itertools import pairwise
from typing import Final

import polars as pl

from sim_core.errors import BadReplay
from sim_core.figures.collection import KEY, Collection
from sim_core.figures.conduct import flag

_TOLD: Final = ("killed", "took_health", "took_energy")
"""Events that a timeline tells, if the game has them."""


def leads(collection: Collection) -> pl.LazyFrame:
    """replay, match, tick, health0, health1, alive0, alive1: what each team has after each tick."""
    per_team = [
        expression
        for team in (0, 1)
        for expression in (
            pl.col("health").filter(pl.col("team") == team).cast(pl.Int64).sum().alias(f"health{team}"),
            pl.col("alive").filter(pl.col("team") == team).cast(pl.Int64).sum().alias(f"alive{team}"),
        )
    ]
    return collection.rows().group_by(*KEY, "tick").agg(per_team).sort(*KEY, "tick")


def exchanges(collection: Collection) -> pl.LazyFrame:
    """replay, match, first_blood, kills0, kills1: the first tick in which anyone was hurt (null = none), and
    how many of the other team each team killed."""
    killed = flag(collection, "killed") if "killed" in collection.header.events else pl.lit(value=False)
    return (
        collection.rows()
        .group_by(KEY)
        .agg(
            pl.col("tick").filter(pl.col("damage_taken") > 0).min().cast(pl.Int64).alias("first_blood"),
            *(
                (killed & (pl.col("team") == team)).sum().cast(pl.Int64).alias(f"kills{team}")
                for team in (0, 1)
            ),
        )
        .sort(KEY)
    )


def match_table(collection: Collection, led: pl.DataFrame, exchanged: pl.DataFrame) -> pl.DataFrame:
    """A row for each match. `turning_point` is the tick in which the winner took the lead in health that it
    kept (null = a draw); `lead_changes` how often the lead went to the other team."""
    courses = {
        (replay, match): course.select("tick", "health0", "health1", "alive0", "alive1").rows()
        for (replay, match), course in led.group_by(*KEY, maintain_order=True)
    }
    hits = {(row["replay"], row["match"]): row for row in exchanged.iter_rows(named=True)}
    rows = []
    for number, replay in enumerate(collection.replays):
        for entry in replay.matches:
            course, hit = courses.get((number, entry.match)), hits.get((number, entry.match))
            if course is None or hit is None:
                raise BadReplay(
                    f"{replay.directory}: match {entry.match} has no rows, though its part names it"
                )
            names = [collection.policies[collection.places[number][policy]] for policy in entry.policies]
            lead = [health0 - health1 for _, health0, health1, _, _ in course]
            rows.append(
                {
                    "replay": str(replay.directory),
                    "match": entry.match,
                    "seed": replay.header.seed,
                    "left": names[0],
                    "right": names[1],
                    "winner": None if entry.winner is None else names[entry.winner],
                    "side": None if entry.winner is None else ("left", "right")[entry.winner],
                    "ticks": entry.ticks,
                    "first_blood": hit["first_blood"],
                    "kills_left": hit["kills0"],
                    "kills_right": hit["kills1"],
                    "turning_point": turning_point(lead, entry.winner),
                    "lead_changes": lead_changes(lead),
                    "health_left": course[-1][1],
                    "health_right": course[-1][2],
                    "alive_left": course[-1][3],
                    "alive_right": course[-1][4],
                    "fallbacks": sum(sum(each.values()) for each in entry.fallbacks),
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides={
        "winner": pl.String, "side": pl.String, "first_blood": pl.Int64, "turning_point": pl.Int64,
    })  # fmt: skip


def turning_point(lead: list[int], winner: int | None) -> int | None:
    """The tick in which the winner took the lead that it kept; None = nobody won, or not by health. `lead` is
    of team 0 after each tick, from the start on."""
    sign = 1 if winner == 0 else -1
    if winner is None or not lead or lead[-1] * sign <= 0:
        return None
    return max((tick + 1 for tick, each in enumerate(lead) if each * sign <= 0), default=0)


def lead_changes(lead: list[int]) -> int:
    """How often another team leads than led last; ties in between do not count."""
    leaders = [each > 0 for each in lead if each]
    return sum(one != other for one, other in pairwise(leaders))


def told_events(collection: Collection) -> pl.LazyFrame:
    """replay, match, tick, team, agent, event, target: a row for each event that a timeline tells, in the
    order of time. `target` is whom a killer killed; null for the others."""
    names = [name for name in _TOLD if name in collection.header.events]
    parts = [
        collection.rows()
        .filter(flag(collection, name))
        .select(
            *KEY, "tick", "team", "agent", pl.lit(name).alias("event"),
            (pl.col("target") if name == "killed" else pl.lit(None, pl.Int8)).alias("target"),
        )
        for name in names
    ]  # fmt: skip
    if not parts:
        return collection.rows().select(
            *KEY, "tick", "team", "agent", pl.lit("").alias("event"), "target"
        ).limit(0)  # fmt: skip
    # Blows before packs, as the rules have it: concat keeps that order, and the sort does too.
    return pl.concat(parts).sort(*KEY, "tick", maintain_order=True)
