"""What the scripts have in common: their options, and a report as tables, JSON, CSV and plots."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import polars as pl

from sim_core.cli.output import print_table, printable
from sim_core.errors import SimulationError
from sim_core.figures.collection import Collection, collect_replays
from sim_core.replays.documents import write_whole

INCOMPLETE: Final = 3
"""Exit code: the report is there, but something that was asked for is not in it."""
_MOST_ROWS: Final = 40

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Table:
    """One of a report's tables. JSON and CSV have all of it."""

    name: str
    """The key under `tables` in the JSON, and the name of the CSV file."""
    title: str
    frame: pl.DataFrame
    percent: Sequence[str] = ()
    """Columns that people read as percentages."""
    shown: Sequence[str] | None = None
    """Columns that are printed; None = all, none = it is too long to be of use in a terminal."""
    most_rows: int = _MOST_ROWS


@dataclass(frozen=True, slots=True)
class Report:
    """What a script found."""

    collection: Collection
    tables: Sequence[Table]
    plots: Callable[[], Mapping[str, bytes]]
    """PNG files by their names; drawn when they are asked for."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """More values of the JSON document."""


def report_options(command: CommandT) -> CommandT:
    """PATHS, --json, --csv and --plots, as `paths`, `as_json`, `csv` and `plots`."""
    directory = click.Path(path_type=Path, file_okay=False)
    options = (
        click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path)),
        click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output."),
        click.option("--csv", "csv", type=directory, help="Directory for a CSV file of each table."),
        click.option("--plots", "plots", type=directory, help="Directory for PNG files."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def make_report(
    paths: Sequence[Path],
    make: Callable[[Collection], Report],
    *,
    as_json: bool,
    csv: Path | None,
    plots: Path | None,
) -> None:
    """Read, print and write. What could not be read is a warning on standard error, and exit code INCOMPLETE.

    Raises SimulationError when nothing could be read, or a file cannot be written.
    """
    collection = collect_replays(paths)
    try:
        report = make(collection)
    except (pl.exceptions.PolarsError, OSError) as error:
        # The parts were whole a moment ago: somebody changes them while they are read.
        raise SimulationError(f"the rows cannot be read: {str(error).splitlines()[0]}") from error
    if as_json:
        click.echo(json.dumps(document(report), indent=2, allow_nan=False))
    else:
        _print(report)
    if csv is not None:
        _write(csv, {f"{each.name}.csv": each.frame.write_csv().encode() for each in report.tables})
    if plots is not None:
        _write(plots, report.plots())
    for problem in collection.problems:
        click.echo(f"Warning: {printable(problem)}", err=True)
    if collection.problems:
        raise click.exceptions.Exit(INCOMPLETE)


def document(report: Report) -> dict[str, Any]:
    """The report as plain JSON values; what is not a number is null."""
    collection = report.collection
    return {
        "game": collection.header.game,
        "replays": [str(replay.directory) for replay in collection.replays],
        "policies": list(collection.policies),
        "matches": sum(len(replay.matches) for replay in collection.replays),
        "problems": list(collection.problems),
        **report.facts,
        "tables": {
            each.name: each.frame.with_columns(pl.selectors.float().fill_nan(None)).to_dicts()
            for each in report.tables
        },
    }


def run(command: click.Command) -> None:
    """A script's main program: an error is one line and exit code 1."""
    try:
        command.main(prog_name=Path(sys.argv[0]).name)
    except SimulationError as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        raise SystemExit(1) from error


def _print(report: Report) -> None:
    collection = report.collection
    matches = sum(len(replay.matches) for replay in collection.replays)
    click.echo(
        f"{matches} matches of {printable(collection.header.game)} in {len(collection.replays)} replays"
    )
    for table in report.tables:
        columns = table.frame.columns if table.shown is None else list(table.shown)
        if not columns or table.frame.is_empty():
            continue
        click.echo(f"\n{table.title}")
        head = table.frame.select(columns).head(table.most_rows)
        print_table(
            [name.replace("_", " ").upper() for name in columns],
            [
                [
                    _cell(value, percent=name in table.percent)
                    for name, value in zip(columns, row, strict=True)
                ]
                for row in head.iter_rows()
            ],
        )
        if (more := len(table.frame) - len(head)) > 0:
            click.echo(f"and {more} more: --json and --csv have them all")


def _cell(value: object, *, percent: bool) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.1%}" if percent else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_whole(directory / name, content)
    except OSError as error:
        raise SimulationError(f"{directory}: cannot be written: {error.strerror}") from error
