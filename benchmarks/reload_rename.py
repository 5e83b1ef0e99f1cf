"""Reloads by rename at half load, with two more models live; and the check that a leak does not pass."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks import models
from benchmarks.harness import Resources, Running, scratch, server
from benchmarks.reload_traffic import CONNECTIONS, Traffic, Window, number_client, repeat

MEMORY_LIMIT: Final = 1.02
_LOOKS: Final = 10
_RELOAD_LIMIT_S: Final = 60.0
_SETTLED_S: Final = 2.0
"""After the traffic, for retired versions to be closed."""
_SLACK: Final = 2
"""Threads of a pool that starts them when it first needs them."""
_READINGS: Final = 5
_READING_S: Final = 0.05
_STEADY: Final = {"steady-1": 1_000_001, "steady-2": 1_000_002}
"""The models that are not reloaded, and what they answer."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done."""

    reloads: int
    memory_from: int
    """The reload after which memory must not grow any more."""
    requests: int = 0
    """At least so many."""
    calibrate_s: float = 2.0
    deadline_s: float = 3600.0
    """After this no further reload is begun."""
    leaky: bool = False
    """The server keeps every session that it should let go."""


@dataclass(slots=True)
class Reloads:
    """What came of it."""

    plan: Plan
    done: int = 0
    answered: int = 0
    rate: float = 0.0
    """Requests a second that were meant: half of what the server could."""
    seconds: float = 0.0
    failures: dict[str, int] = field(default_factory=dict)
    looks: dict[int, Resources] = field(default_factory=dict)
    """The server's resources after so many reloads."""
    at_rest: Resources | None = None
    """At the end, without traffic."""

    @property
    def memory_ratio(self) -> float | None:
        """Memory after the last reload to that after `memory_from`; None if it did not get that far."""
        first = self.looks.get(self.plan.memory_from)
        if first is None or self.done <= self.plan.memory_from:
            return None
        return self.looks[self.done].resident_bytes / first.resident_bytes


async def reload_by_rename(plan: Plan, progress: Callable[[int], None] = lambda number: None) -> Reloads:
    """Publish version after version, each as soon as the one before was seen serving."""
    found = Reloads(plan)
    traffic = Traffic({"model": Window(), **{name: Window(at, at) for name, at in _STEADY.items()}})
    with scratch() as directory:
        repository = directory / "models"
        for name, window in traffic.windows.items():
            models.publish(repository, name, models.row_constant(window.newest), models.BATCHED)
        program = "benchmarks.leaky_server" if plan.leaky else "onnxd"
        # Files are renamed into place here, so nothing has to settle.
        with server(repository, directory / "state", program=program, ONNXD_WATCH_SETTLE="20ms") as running:
            start_s = time.monotonic()
            async with AsyncExitStack() as resources:
                names = ["model", "steady-1", "model", "steady-2"]
                async with asyncio.TaskGroup() as tasks:
                    for at in range(CONNECTIONS):
                        ask = await number_client(running, at, resources)
                        tasks.create_task(repeat(ask, names, traffic, at // 2))
                    found.rate = await traffic.halve(plan.calibrate_s)
                    await _reload(running, repository, traffic, found, progress)
                    await traffic.enough(plan.requests)
                    traffic.stopping = True
            found.seconds = time.monotonic() - start_s
            found.answered, found.failures = traffic.answered, dict(traffic.failures)
            await asyncio.sleep(_SETTLED_S)
            found.at_rest = running.resources()
    return found


async def _reload(
    running: Running, repository: Path, traffic: Traffic, found: Reloads, progress: Callable[[int], None]
) -> None:
    plan = found.plan
    start_s = time.monotonic()
    each = max(1, plan.reloads // _LOOKS)
    for number in range(1, plan.reloads + 1):
        if time.monotonic() - start_s > plan.deadline_s:
            break
        traffic.windows["model"].newest = number
        models.publish(repository, "model", models.row_constant(number))
        await traffic.seen("model", number, _RELOAD_LIMIT_S)
        found.done = number
        if number % each == 0 or number in (plan.memory_from, plan.reloads):
            found.looks[number] = await settled(running)
            progress(number)
    if found.done and found.done not in found.looks:
        found.looks[found.done] = await settled(running)


async def settled(running: Running) -> Resources:
    """The least of several readings: one may meet a load in progress."""
    readings = []
    for _ in range(_READINGS):
        readings.append(running.resources())
        await asyncio.sleep(_READING_S)
    return Resources(
        resident_bytes=min(each.resident_bytes for each in readings),
        descriptors=min(each.descriptors for each in readings),
        threads=min(each.threads for each in readings),
    )


def judge(found: Reloads) -> list[str]:
    """What must hold, as sentences where it does not."""
    plan = found.plan
    misses = [f"{count} x {failure}" for failure, count in found.failures.items()]
    if found.done < plan.reloads:
        misses.append(f"only {found.done} of {plan.reloads} reloads in the time there was")
    if found.answered < plan.requests:
        misses.append(f"only {found.answered} of {plan.requests} requests")
    order = sorted(found.looks)
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    if all(halves):
        for what in ("descriptors", "threads"):
            early, late = (min(getattr(found.looks[number], what) for number in half) for half in halves)
            if late > early + _SLACK:
                misses.append(f"{what} grew from {early} in the first half to {late} in the second")
    ratio = found.memory_ratio
    if ratio is not None and ratio > MEMORY_LIMIT:
        limit = f"{100 * MEMORY_LIMIT:.0f} % of that after reload {plan.memory_from}"
        misses.append(f"memory grew to {100 * ratio:.1f} %, over {limit}")
    return misses
