"""Runs the levels of `onnxd bench` one after the other, with progress where there is a terminal."""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import uvloop

from onnxd.cli.load_inputs import Inputs
from onnxd.cli.load_loops import Ask, Bounds, Tally, Watch, closed_loop, open_loop, poisson
from onnxd.cli.measured import Measured, measured, server_side
from onnxd.cli.remote import measuring_client, told
from onnxd_client import AsyncClient, ServerError

_WARM_SHARE: Final = 0.1
_WARM_S: Final = 1.0
"""The part of the duration, and the most, that does not count before each level."""
_OPEN_CONNECTIONS: Final = 512
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Bench:
    """One level: requests at a time, or a second."""

    concurrency: int = 0
    rate: float = 0.0

    def __str__(self) -> str:
        return f"{self.rate:g}/s" if self.rate else f"{self.concurrency} at a time"


@dataclass(frozen=True, slots=True)
class Asked:
    """What every level asks."""

    url: str
    model: str
    version: int | None
    inputs: Sequence[Inputs]
    rows: int
    deadline_s: float


def run(asked: Asked, levels: Sequence[Bench], duration_s: float, requests: int) -> list[Measured]:
    """Raises Mistake and ClickException as `remote.connected` does."""
    with told(asked.url), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_levels(asked, levels, Bounds(duration_s, requests)))


async def _levels(asked: Asked, levels: Sequence[Bench], bounds: Bounds) -> list[Measured]:
    connections = max(level.concurrency or _OPEN_CONNECTIONS for level in levels)
    async with measuring_client(asked.url, deadline_s=asked.deadline_s, connections=connections) as client:
        results = []
        with _progress(len(levels) * bounds.duration_s) as watch_of:
            for number, level in enumerate(levels):
                watch = watch_of(str(level), number * bounds.duration_s)
                results.append(await _level(client, asked, level, bounds, watch))
        return results


async def _level(client: AsyncClient, asked: Asked, level: Bench, bounds: Bounds, watch: Watch) -> Measured:
    turns = itertools.cycle(asked.inputs)

    async def ask() -> None:
        await client.infer(asked.model, next(turns), version=asked.version)

    warm = Bounds(min(bounds.duration_s * _WARM_SHARE, _WARM_S), bounds.requests)
    await _loop(ask, level, warm, lambda *_: None)
    before = await _statistics(client, asked)
    tally = await _loop(ask, level, bounds, watch)
    after = await _statistics(client, asked)
    return measured(str(level), tally, asked.rows, server_side(before, after))


async def _statistics(client: AsyncClient, asked: Asked) -> list[dict[str, Any]]:
    """Empty from a server that does not tell, or not this caller."""
    try:
        return await client.statistics(asked.model, asked.version)
    except ServerError:
        return []


async def _loop(ask: Ask, level: Bench, bounds: Bounds, watch: Watch) -> Tally:
    if level.rate:
        # Each level, and each run of it, sends at the same moments.
        return await open_loop(ask, poisson(level.rate, Random(_SEED)), bounds, watch)  # noqa: S311
    return await closed_loop(ask, level.concurrency, bounds, watch)


class _WatchOf:
    """Makes the watch of each level; this one shows nothing."""

    def __call__(self, level: str, begun_s: float) -> Watch:
        return lambda tally, passed_s: None


@contextlib.contextmanager
def _progress(total_s: float) -> Iterator[_WatchOf]:
    """On standard error, where the table will not be."""
    if not sys.stderr.isatty():
        yield _WatchOf()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    # Its own thread would take from what is measured: it is drawn when the watch says something new.
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as progress:
        task = progress.add_task("", total=total_s)

        class Shown(_WatchOf):
            def __call__(self, level: str, begun_s: float) -> Watch:
                drawn_s = -1.0

                def watch(tally: Tally, passed_s: float) -> None:
                    nonlocal drawn_s
                    if passed_s < drawn_s + 0.5:
                        return
                    drawn_s = passed_s
                    answered = len(tally.latencies_s)
                    progress.update(
                        task,
                        description=f"{level}: {answered / passed_s:.0f}/s",
                        completed=begun_s + passed_s,
                    )
                    progress.refresh()

                return watch

        yield Shown()
