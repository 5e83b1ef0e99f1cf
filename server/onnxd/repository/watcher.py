"""Looks at the repository again and again, and says what has settled.

A scan each interval is the truth. The file system's notices only bring the next scan forward: they do not
cross network file systems or every link, and they come to an end when the kernel's watches run out.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from onnxd.repository.completeness import Completeness
from onnxd.repository.hints import Hints, KernelHints
from onnxd.repository.layout import RepositorySnapshot, scan
from onnxd.repository.settle import SettledRepository, Settling
from onnxd.units import Seconds

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WatchConfig:
    """How closely the repository is watched."""

    scan_interval: Seconds = 5.0
    """The longest time between two scans."""
    settle: Seconds = 0.5
    """How long a model's files must have stayed the same before they are loaded."""
    polling: bool = False
    """Rely on the scans alone; do not ask the kernel for notices."""


class Clock(Protocol):
    """Time as the watcher needs it."""

    def monotonic_s(self) -> float: ...

    def wall_ns(self) -> int: ...

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return when the event is set or the time has passed, whichever comes first."""


class SystemClock:
    """The real one."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wall_ns(self) -> int:
        return time.time_ns()

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass


class Watcher:
    """Watches the given repository directories while `run` runs."""

    def __init__(
        self,
        roots: Sequence[Path],
        config: WatchConfig,
        *,
        scan: Callable[[Sequence[Path]], RepositorySnapshot] = scan,
        hints: Hints | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._roots = tuple(roots)
        self._config = config
        self._scan = scan
        self._hints = hints if hints is not None else KernelHints()
        self._clock = clock if clock is not None else SystemClock()
        self._hinted = asyncio.Event()
        self._said: frozenset[str] = frozenset()

    async def run(self, on_settled: Callable[[SettledRepository], Awaitable[None] | None]) -> None:
        """Call `on_settled` once with what is there now, then after each change. Ends only by cancellation.

        The next scan waits until the callback is done: it should hand the work on. What the callback raises
        ends the watcher.
        """
        async with asyncio.TaskGroup() as tasks:
            if not self._config.polling:
                tasks.create_task(self._hints.run(self._roots, self._hinted.set))
            await self._look(on_settled)

    async def _look(self, on_settled: Callable[[SettledRepository], Awaitable[None] | None]) -> None:
        settling = Settling(self._config.settle, self._config.scan_interval)
        completeness = Completeness()
        told: SettledRepository | None = None
        while True:
            self._hinted.clear()
            snapshot = await asyncio.to_thread(self._scan, self._roots)
            now_s, wall_ns = self._clock.monotonic_s(), self._clock.wall_ns()
            changing = settling.changing(now_s, snapshot, wall_ns=wall_ns)
            complete = await asyncio.to_thread(completeness.of, changing) if changing else frozenset()
            settled = settling.feed(now_s, snapshot, wall_ns=wall_ns, complete=complete)
            self._report(settled.problems)
            if told is None or not settled.same_as(told):
                told = settled
                outcome = on_settled(settled)
                if inspect.isawaitable(outcome):
                    await outcome
            wake_s = now_s + self._config.scan_interval
            if settled.look_again_s is not None:
                wake_s = min(wake_s, settled.look_again_s)
            if not self._config.polling:
                self._hints.watch(snapshot.directories)
            await self._clock.wait(self._hinted, max(0.0, wake_s - self._clock.monotonic_s()))

    def _report(self, problems: tuple[str, ...]) -> None:
        for problem in problems:
            if problem not in self._said:
                _log.warning("repository", problem=problem)
        self._said = frozenset(problems)
