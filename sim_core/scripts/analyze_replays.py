"""Insights and metrics over many replays: who wins, by which actions, where, how fast, what goes wrong."""

from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import polars as pl

from sim_core.figures.anomalies import anomalies, anomaly_counts
from sim_core.figures.collection import Collection
from sim_core.figures.conduct import (
    action_counts,
    action_mix,
    answered_by,
    band_counts,
    differences,
    named,
    phase_ticks,
    places,
)
from sim_core.figures.wins import decision_counts, fallback_reasons, pairs, win_rates
from sim_core.plots.charts import Interval, draw_grounds, draw_intervals, draw_shares, draw_steps
from sim_core.replays.schema import LATENCY_BOUNDS_MS
from sim_core.scripts.report import Report, Table, make_report, report_options, run

_WINS = ("wins", "wins_low", "wins_high", "wins_left", "wins_right")


@click.command(
    "analyze", help="What replays tell of their policies. PATHS are replays, or directories with some."
)
@report_options
def command(paths: tuple[Path, ...], as_json: bool, csv: Path | None, plots: Path | None) -> None:
    make_report(paths, analyze, as_json=as_json, csv=csv, plots=plots)


def analyze(collection: Collection) -> Report:
    """All figures; the rows are read once."""
    counts, places_found, bands, answered, odd = pl.collect_all(
        [
            action_counts(collection),
            places(collection),
            band_counts(collection),
            answered_by(collection),
            anomalies(collection),
        ]
    )
    wins, met, decisions = win_rates(collection), pairs(collection), decision_counts(collection)
    mix = action_mix(collection, counts, over_time=False)
    over_time = action_mix(collection, counts, over_time=True)
    actions = collection.header.actions
    tables = [
        Table("policies", "Policies", wins, _WINS),
        Table("pairs", "Pairs that met", met, _WINS),
        Table("decisions", "Decisions", decisions, ("fallback_share",)),
        Table("fallbacks", "Fallbacks by reason", fallback_reasons(collection)),
        Table("answered_by", "Models that answered", _hexadecimal(named(collection, answered))),
        Table("actions", "Actions", mix, actions),
        Table("actions_over_time", "Actions over time", over_time, actions, shown=()),
        Table(
            "differences", "How policies differ", differences(collection, bands), ("distance", "more_often")
        ),
        Table("anomaly_counts", "Agents that get nowhere", anomaly_counts(collection, odd)),
        Table("anomalies", "The longest of them", named(collection, odd), most_rows=10),
        Table("latencies", "Latencies", latency_table(collection), shown=()),
        Table("places", "Places", named(collection, places_found), shown=()),
    ]

    def plots() -> dict[str, bytes]:
        return {
            "wins.png": draw_intervals(
                "Share of matches won, with 95 % intervals",
                "share",
                [Interval(row["policy"], row["wins"], row["wins_low"], row["wins_high"])
                 for row in wins.iter_rows(named=True)],
                middle=0.5,
            ),
            "actions.png": _draw_actions(collection, over_time),
            "latencies.png": _draw_latencies(collection),
            **{
                f"{what}.png": draw_grounds(
                    f"{what.capitalize()}, for a team that starts on the left",
                    grounds(collection, places_found, what),
                )
                for what in ("positions", "deaths")
                if "moved" in collection.header.events
            },
        }  # fmt: skip

    return Report(collection, tables, plots, {"phase_ticks": phase_ticks(collection)})


def grounds(collection: Collection, found: pl.DataFrame, what: str) -> dict[str, npt.NDArray[np.float64]]:
    """Of each policy the column as a ground, [height, width]: the share that each cell has."""
    shape = (collection.header.height, collection.header.width)
    panels = {}
    for place, name in enumerate(collection.policies):
        ground = np.zeros(shape)
        mine = found.filter(
            (pl.col("policy") == place)
            & pl.col("x").is_between(0, shape[1] - 1)
            & pl.col("y").is_between(0, shape[0] - 1)
        )
        ground[mine["y"].to_numpy(), mine["x"].to_numpy()] = mine[what].to_numpy()
        panels[name] = ground / max(float(ground.sum()), 1.0)
    return panels


def latency_table(collection: Collection) -> pl.DataFrame:
    """policy, to_ms (null = no bound), decisions: the histogram, without its empty buckets. Local policies,
    which take no time, are left out."""
    rows = [
        (name, bound, count)
        for name, latencies in zip(collection.policies, collection.latencies(), strict=True)
        if latencies.most_ms > 0
        for bound, count in zip((*LATENCY_BOUNDS_MS, None), latencies.counts, strict=True)
        if count
    ]
    return pl.DataFrame(
        rows, schema={"policy": pl.String, "to_ms": pl.Float64, "decisions": pl.Int64}, orient="row"
    )


def _hexadecimal(answered: pl.DataFrame) -> pl.DataFrame:
    """Fingerprints as the header writes them."""
    digits = pl.col("weights").map_elements(lambda value: f"{value % 2**64:016x}", return_dtype=pl.String)
    return answered.with_columns(digits)


def _draw_actions(collection: Collection, over_time: pl.DataFrame) -> bytes:
    actions = collection.header.actions
    panels = {}
    for name in collection.policies:
        mine = over_time.filter(policy=name)
        if len(mine):
            panels[name] = (mine["from_tick"].to_list(), mine.select(actions).to_numpy())
    return draw_shares("Actions over time", "tick", panels, actions)


def _draw_latencies(collection: Collection) -> bytes:
    """The share of decisions that took no longer than so many milliseconds."""
    lines = {}
    for name, latencies in zip(collection.policies, collection.latencies(), strict=True):
        if latencies.most_ms > 0:
            reached = np.cumsum(latencies.counts) / sum(latencies.counts)
            along = [*LATENCY_BOUNDS_MS, max(latencies.most_ms, LATENCY_BOUNDS_MS[-1])]
            kept = slice(max(int((reached > 0).argmax()) - 1, 0), int((reached >= 1).argmax()) + 1)
            lines[name] = (along[kept], reached[kept].tolist())
    return draw_steps("How long decisions took", "ms", "share of decisions", lines, logarithmic=bool(lines))


if __name__ == "__main__":
    run(command)
