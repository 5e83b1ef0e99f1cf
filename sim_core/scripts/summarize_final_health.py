"""Final health per agent, team, policy and version: distribution, survivors, damage, and effect sizes."""

from pathlib import Path

import click
import polars as pl

from sim_core.figures.collection import Collection
from sim_core.figures.conduct import named
from sim_core.figures.effect import effects, group_name
from sim_core.figures.health import agent_ends, health_by, health_counts, most_health, survivors
from sim_core.plots.charts import Interval, draw_bars, draw_intervals
from sim_core.scripts.report import Report, Table, make_report, report_options, run

_MOST_BINS = 16


@click.command("health", help="How agents ended. PATHS are replays, or directories with some.")
@report_options
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Of the bootstrap."
)
def command(paths: tuple[Path, ...], as_json: bool, csv: Path | None, plots: Path | None, seed: int) -> None:
    make_report(
        paths,
        lambda collection: summarize(collection, seed=seed),
        as_json=as_json,
        csv=csv,
        plots=plots,
    )


def summarize(collection: Collection, *, seed: int = 1) -> Report:
    ends = agent_ends(collection).collect()
    most = most_health(collection)
    by_version = named(collection, health_by(ends, "policy", "version"))
    compared = effects(ends, collection.policies, seed=seed)
    counts = named(collection, health_counts(ends, most=most, bins=_MOST_BINS))
    left = named(collection, survivors(ends))
    tables = [
        Table("versions", "Final health by policy and version", by_version, ("survived",)),
        Table("teams", "By side (0 starts on the left)",
              named(collection, health_by(ends, "policy", "team")), ("survived",)),
        Table("agents", "By agent", named(collection, health_by(ends, "policy", "agent")), ("survived",)),
        Table("survivors", "Survivors of a team", left, ("share",)),
        Table("effects", "Effect of the second over the first, on a team's mean final health", compared),
        Table("distribution", "Distribution of the final health", counts, shown=()),
        Table("ends", "Every agent", named(collection, ends), shown=()),
    ]  # fmt: skip

    def plots() -> dict[str, bytes]:
        width = max(-(-most // _MOST_BINS), 1)
        return {
            "final_health.png": draw_bars(
                "Final health", "health", "share of agents", _shares(counts), width
            ),
            "survivors.png": draw_bars(
                "Survivors of a team",
                "agents alive at the end",
                "share of teams",
                {
                    name: dict(part.select("survivors", "share").iter_rows())
                    for name, part in _groups(left)
                },
                1.0,
                centred=True,
            ),
            "effects.png": draw_intervals(
                "Effect on a team's mean final health, with 95 % intervals",
                "difference of means (the second less the first)",
                [
                    Interval(f"{row['second']} v {row['first']}", row["difference"], row["low"], row["high"])
                    for row in compared.iter_rows(named=True)
                ],
                middle=0,
            ),
        }  # fmt: skip

    return Report(collection, tables, plots, {"seed": seed})


def _groups(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """The rows of each policy and version, by their name."""
    return [
        (group_name(str(policy), int(str(version))), part)
        for (policy, version), part in frame.group_by("policy", "version", maintain_order=True)
    ]


def _shares(counts: pl.DataFrame) -> dict[str, dict[float, float]]:
    return {
        name: dict(
            part.select("from_health", pl.col("agents") / pl.col("agents").sum()).iter_rows()
        )
        for name, part in _groups(counts)
    }  # fmt: skip


if __name__ == "__main__":
    run(command)
