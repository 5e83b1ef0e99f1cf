"""`python -m sim_core watch`."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.live import Live

from sim_core.arrays import AnyArray
from sim_core.cli.drawing import draw_result, draw_tick
from sim_core.cli.options import POLICY_HELP, MatchOptions, match_options
from sim_core.cli.output import printable
from sim_core.errors import BadReplay
from sim_core.games import GAMES
from sim_core.matches.play import Fixture
from sim_core.matches.results import Results
from sim_core.matches.session import Session, play_session
from sim_core.replays.documents import Header, MatchEntry
from sim_core.replays.reader import open_replay
from sim_core.replays.writer import MatchRecord


@click.command("watch", help=f"Draw a match: one that is played now, or one of a replay. {POLICY_HELP}")
@click.argument("policies", nargs=-1)
@click.option("--match", type=click.IntRange(min=0), default=0, show_default=True, help="Its number.")
@click.option("--replay", type=click.Path(path_type=Path), help="Draw from this replay instead.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=6.0,
    show_default=True,
    help="Ticks a second; 0 = the end only.",
)
@match_options
def command(
    policies: tuple[str, ...], match: int, replay: Path | None, speed: float, **options: Any
) -> None:  # fmt: skip
    how = MatchOptions(**options)
    if replay is not None:
        if policies:
            raise click.UsageError("a replay knows its policies: leave them out, or leave out --replay")
        _draw(*_from_replay(replay, match), speed=speed)
        return
    if len(policies) != 2:
        raise click.UsageError(f"expected two policies, or --replay; got {len(policies)}")
    session = Session(
        game=GAMES[how.game](),
        policies=policies,
        fixtures=[Fixture(match, (0, 1))],
        seed=how.seed,
        parallel=1,
        url=how.url,
        asking=how.asking(),
    )
    records: list[MatchRecord] = []
    header = asyncio.run(play_session(session, Results(policies), records.append)).header
    _draw(header, records[0].entry, records[0].columns, speed=speed)


def _from_replay(directory: Path, match: int) -> tuple[Header, MatchEntry, Mapping[str, AnyArray]]:
    replay = open_replay(directory)
    entry = next((entry for entry in replay.matches if entry.match == match), None)
    if entry is None:
        there = f"{replay.matches[0].match} to {replay.matches[-1].match}"
        raise BadReplay(f"{directory}: match {match} is not there; it has {there}")
    frame = replay.scan().filter(match=match).sort("tick", "agent").collect()
    columns = {name: frame[name].fill_null(-1).to_numpy() for name in frame.columns if name != "alive"}
    return replay.header, entry, columns | {"alive": frame["alive"].to_numpy()}


def _draw(header: Header, entry: MatchEntry, columns: Mapping[str, AnyArray], *, speed: float) -> None:
    """Where there is no terminal, only the end."""
    console = Console(highlight=False)
    ticks = range(entry.ticks + 1) if speed and console.is_terminal else [entry.ticks]
    _animate(console, [draw_tick(header, entry, _tick(columns, tick)) for tick in ticks], speed)
    click.echo(printable(draw_result(header, entry)))


def _animate(console: Console, pictures: Sequence[Any], speed: float) -> None:
    with Live(console=console, auto_refresh=False) as live:
        for place, picture in enumerate(pictures):
            if place:
                time.sleep(1 / speed)
            live.update(picture, refresh=True)


def _tick(columns: Mapping[str, AnyArray], tick: int) -> dict[str, AnyArray]:
    rows = np.flatnonzero(columns["tick"] == tick)
    return {name: values[rows] for name, values in columns.items()}
