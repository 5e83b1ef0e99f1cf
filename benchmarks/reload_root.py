"""A repository that goes away under load, as an unmounted disk does, or that loses all its models at once."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks import models
from benchmarks.harness import scratch, server
from benchmarks.reload_traffic import CONNECTIONS, Traffic, Window, number_client, repeat

NAMES: Final = ("one", "two", "three")
_LIMIT_S: Final = 30.0


@dataclass(slots=True)
class RootGone:
    """What came of it."""

    answered: dict[str, int] = field(default_factory=dict)
    """Requests answered, by what the repository was at the time."""
    failures: dict[str, int] = field(default_factory=dict)
    reloaded: bool = False
    """Afterwards a new version was noticed as ever."""


async def lose_the_root(pause_s: float) -> RootGone:
    """Each fault stays for this long: many times the interval of the scans."""
    found = RootGone()
    traffic = Traffic({name: Window(at, at) for at, name in enumerate(NAMES, start=1)}, interval_s=0.02)
    with scratch() as directory:
        repository = directory / "models"
        for name, window in traffic.windows.items():
            models.publish(repository, name, models.row_constant(window.newest), models.BATCHED)
        quick = ("--watch-settle", "20ms", "--watch-scan-interval", "100ms")
        with server(repository, directory / "state", *quick) as running:
            async with AsyncExitStack() as resources, asyncio.TaskGroup() as tasks:
                for at in range(CONNECTIONS):
                    ask = await number_client(running, at, resources)
                    tasks.create_task(repeat(ask, NAMES, traffic, at))
                await _faults(repository, traffic, found, lambda: asyncio.sleep(pause_s))
                traffic.windows["one"].newest = 100
                models.publish(repository, "one", models.row_constant(100), models.BATCHED)
                await traffic.seen("one", 100, _LIMIT_S)
                found.reloaded = True
                traffic.stopping = True
    found.failures = dict(traffic.failures)
    return found


async def _faults(
    repository: Path, traffic: Traffic, found: RootGone, pause: Callable[[], Awaitable[None]]
) -> None:
    for what, change in _CHANGES.items():
        await asyncio.to_thread(change, repository, repository.with_name("away"))
        before = traffic.answered
        await pause()
        found.answered[what] = traffic.answered - before


def _replace(repository: Path, away: Path) -> None:
    repository.mkdir()


def _put_back(repository: Path, away: Path) -> None:
    if repository.is_symlink():
        repository.unlink()
    else:
        repository.rmdir()
    away.rename(repository)


def _empty(repository: Path, away: Path) -> None:
    shutil.copytree(repository, away)
    for model in repository.iterdir():
        shutil.rmtree(model)


def _lead_nowhere(repository: Path, away: Path) -> None:
    repository.rmdir()
    repository.symlink_to("nowhere")


_CHANGES: Final[dict[str, Callable[[Path, Path], object]]] = {
    "whole": lambda repository, away: None,
    "renamed away": Path.rename,
    "an empty directory in its place": _replace,
    "back again": _put_back,
    "emptied": _empty,
    "a link to nothing": _lead_nowhere,
    "copied back": _put_back,
}
"""What happens to the repository, one after the other."""


def judge(found: RootGone) -> list[str]:
    misses = [f"{count} x {failure}" for failure, count in found.failures.items()]
    silent = [what for what, count in found.answered.items() if not count]
    misses += [f"no request was answered while it was {what}" for what in silent]
    if not found.reloaded:
        misses.append("nothing was reloaded any more afterwards")
    return misses
