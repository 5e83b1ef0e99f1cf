"""The two ways to load a server: so many requests at a time, or so many a second whatever it does.

A closed loop waits for answers, so that a server that stalls is asked less: it measures what a server can do.
An open loop sends when requests are due, and counts each from then on: it measures what callers would see.
"""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

from onnxd_client import ConnectFailed, ServerError

Ask = Callable[[], Awaitable[object]]
"""One request, with its answer. Raises ServerError."""

MOST_IN_FLIGHT: Final = 4096
"""Of an open loop; what is due beyond it is not sent, but counted."""
_WATCH_S: Final = 0.02
_REFUSED_PAUSE_S: Final = 0.05
"""Where nobody listens, a closed loop would only ask faster."""


@dataclass(slots=True)
class Tally:
    """What one run of a loop has seen."""

    latencies_s: "array[float]" = field(default_factory=lambda: array("d"))
    """Of the requests that were answered."""
    errors: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    unsent: int = 0
    in_flight: int = 0
    late_s: "array[float]" = field(default_factory=lambda: array("d"))
    """Of an open loop: how long after it was due each request was sent."""
    lag_s: "array[float]" = field(default_factory=lambda: array("d"))
    """How late this process' event loop was for a timer, every so often."""
    elapsed_s: float = 0.0
    cpu_s: float = 0.0
    """Of this process."""

    async def one(self, ask: Ask, due_s: float) -> None:
        """Ask, and count it as sent at `due_s`."""
        self.sent += 1
        self.in_flight += 1
        try:
            await ask()
        except ServerError as error:
            self.errors[_kind(error)] += 1
            if isinstance(error, ConnectFailed):
                await asyncio.sleep(_REFUSED_PAUSE_S)
        else:
            self.latencies_s.append(time.perf_counter() - due_s)
        finally:
            self.in_flight -= 1


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a loop ends: at the first of these. Requests in flight then are waited for."""

    duration_s: float
    requests: int


Watch = Callable[[Tally, float], None]
"""Told of the tally so far and of the seconds that have passed."""


async def closed_loop(ask: Ask, concurrency: int, bounds: Bounds, watch: Watch) -> Tally:
    """`concurrency` callers, each of which asks again when it has its answer."""
    tally = Tally()

    async def caller(until_s: float) -> None:
        while (now_s := time.perf_counter()) < until_s and tally.sent < bounds.requests:
            await tally.one(ask, now_s)

    async def load(until_s: float) -> None:
        async with asyncio.TaskGroup() as callers:
            for _ in range(concurrency):
                callers.create_task(caller(until_s))

    await _measured(tally, load, bounds, watch)
    return tally


async def open_loop(ask: Ask, gaps_s: Iterator[float], bounds: Bounds, watch: Watch) -> Tally:
    """Requests that are due after one gap after the other, however long answers take."""
    tally = Tally()

    async def load(until_s: float) -> None:
        due_s = time.perf_counter()
        async with asyncio.TaskGroup() as requests:
            for gap_s in gaps_s:
                due_s += gap_s
                if due_s >= until_s or tally.sent + tally.unsent >= bounds.requests:
                    return
                # Even when it is late, so that answers are read.
                await asyncio.sleep(max(due_s - time.perf_counter(), 0.0))
                tally.late_s.append(max(time.perf_counter() - due_s, 0.0))
                if tally.in_flight >= MOST_IN_FLIGHT:
                    tally.unsent += 1
                else:
                    requests.create_task(tally.one(ask, due_s))

    await _measured(tally, load, bounds, watch)
    return tally


def poisson(rate: float, random: Random) -> Iterator[float]:
    """Seconds between requests that come independently of each other, `rate` a second on average."""
    while True:
        yield random.expovariate(rate)


async def _measured(
    tally: Tally, load: Callable[[float], Awaitable[None]], bounds: Bounds, watch: Watch
) -> None:
    start_s, cpu_s = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as both:
        watching = both.create_task(_watch(tally, start_s, watch))
        await load(start_s + bounds.duration_s)
        watching.cancel()
    tally.elapsed_s = time.perf_counter() - start_s
    tally.cpu_s = time.process_time() - cpu_s


async def _watch(tally: Tally, start_s: float, watch: Watch) -> None:
    while True:
        slept_s = time.perf_counter()
        await asyncio.sleep(_WATCH_S)
        now_s = time.perf_counter()
        tally.lag_s.append(max(now_s - slept_s - _WATCH_S, 0.0))
        watch(tally, now_s - start_s)


def _kind(error: ServerError) -> str:
    return type(error).__name__ + (f" ({error.status})" if error.status else "")
