"""What happened in each match, and the table of the tournament that the matches are."""

from pathlib import Path

import click
import polars as pl

from sim_core.errors import BadReplay
from sim_core.figures.collection import Collection
from sim_core.figures.courses import exchanges, leads, match_table, told_events
from sim_core.figures.wins import pairs, standings
from sim_core.plots.charts import Interval, draw_bars, draw_intervals, draw_steps
from sim_core.scripts.report import Report, Table, make_report, report_options, run

_MATCHES = (
    "match", "left", "right", "winner", "ticks", "first_blood", "turning_point", "lead_changes",
    "kills_left", "kills_right", "health_left", "health_right", "fallbacks",
)  # fmt: skip
_LENGTH_BINS = 20


@click.command("matches", help="How matches went. PATHS are replays, or directories with some.")
@report_options
@click.option(
    "--match", type=click.IntRange(min=0), help="The timeline of this match (of every replay that has it)."
)
def command(
    paths: tuple[Path, ...], as_json: bool, csv: Path | None, plots: Path | None, match: int | None
) -> None:
    make_report(
        paths,
        lambda collection: summarize(collection, match=match),
        as_json=as_json,
        csv=csv,
        plots=plots,
    )


def summarize(collection: Collection, *, match: int | None = None) -> Report:
    """Raises BadReplay when no replay has this match."""
    numbers = [entry.match for replay in collection.replays for entry in replay.matches]
    if match is not None and match not in numbers:
        raise BadReplay(
            f"match {match} is in none of the replays: they have {min(numbers)} to {max(numbers)}"
        )
    led, exchanged, told = pl.collect_all([leads(collection), exchanges(collection), told_events(collection)])
    matches = match_table(collection, led, exchanged)
    table, met = standings(collection), pairs(collection)
    events = told if match is None else told.filter(match=match)
    course = led if match is None else led.filter(match=match)
    asked = matches if match is None else matches.filter(match=match)
    directories = pl.col("replay").replace_strict(
        {number: str(replay.directory) for number, replay in enumerate(collection.replays)},
        return_dtype=pl.String,
    )
    tables = [
        Table("standings", "Table", table),
        Table("pairs", "Pairs that met", met, ("wins", "wins_low", "wins_high")),
        Table("matches", "Matches", asked, shown=_MATCHES),
        Table("events", "Timeline", events.with_columns(directories), most_rows=200,
              shown=() if match is None else ("tick", "team", "agent", "event", "target")),
        Table("course", "Health after each tick", course.with_columns(directories), shown=()),
    ]  # fmt: skip

    def plots() -> dict[str, bytes]:
        drawn = {
            "elo.png": draw_intervals(
                "Elo, with 95 % intervals",
                "Elo",
                [
                    Interval(row["policy"], row["elo"], row["elo_low"], row["elo_high"])
                    for row in table.iter_rows(named=True)
                ],
                middle=1500,
            ),
            "lengths.png": _draw_lengths(matches),
            "turning_points.png": _draw_turns(matches),
        }
        if match is not None:
            drawn["match.png"] = _draw_course(course, f"Match {match}")
        return drawn

    return Report(collection, tables, plots)


def _draw_lengths(matches: pl.DataFrame) -> bytes:
    most = int(matches["ticks"].max() or 1)  # type: ignore[arg-type]
    width = max(-(-most // _LENGTH_BINS), 1)
    counts = matches.group_by((pl.col("ticks") // width * width).alias("from_ticks")).len().sort("from_ticks")
    return draw_bars("Length of matches", "ticks", "matches", {"matches": dict(counts.iter_rows())}, width)


def _draw_turns(matches: pl.DataFrame) -> bytes:
    """How many of the matches that somebody won were turned by which tick."""
    turned = matches["turning_point"].drop_nulls().sort()
    along = [0.0, *(float(tick) for tick in turned)]
    shares = [place / max(len(turned), 1) for place in range(len(along))]
    return draw_steps(
        "When matches turned: the winner had taken the lead for good",
        "tick",
        "share of the matches that were won",
        {"matches": (along, shares)} if len(turned) else {},
    )


def _draw_course(course: pl.DataFrame, title: str) -> bytes:
    lines = {}
    for (replay,), part in course.group_by("replay", maintain_order=True):
        suffix = "" if course["replay"].n_unique() == 1 else f" of replay {replay}"
        for team, side in enumerate(("left", "right")):
            lines[f"{side}{suffix}"] = (part["tick"].to_list(), part[f"health{team}"].to_list())
    return draw_steps(title, "tick", "health of the team", lines)


if __name__ == "__main__":
    run(command)
