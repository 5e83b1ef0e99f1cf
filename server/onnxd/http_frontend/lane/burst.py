"""Answers that are written one right after the other, instead of each when it is ready.

A client that waits has gone to sleep again when the next answer comes 15 microseconds later, and has to be
woken for each: `send` takes up to twice as long with such a gap as without (python -m benchmarks.bursts). A
batch is answered in one turn of the loop, so its answers can go together.
"""

import asyncio
from typing import Final, Protocol


class Held(Protocol):
    """Whoever holds an answer back."""

    def flush(self) -> None:
        """Write it."""


class Burst:
    """For one loop. What is held back is written in the loop's next turn, in the order of `hold`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._held: list[Held] = []

    def hold(self, held: Held) -> None:
        if not self._held:
            self._loop.call_soon(self._write)
        self._held.append(held)

    def _write(self) -> None:
        held, self._held = self._held, []
        for each in held:
            each.flush()
