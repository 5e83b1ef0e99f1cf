"""Answers that are written one right after the other, instead of each when it is ready.

A client that waits has gone to sleep again when the next answer comes 15 microseconds later, and has to be
woken for each: `send` takes up to twice as long with such a gap as without (python -m benchmarks.bursts). A
batch is answered in one turn of the loop, so its answers can go together.
"""

import asyncio
from typing import Final, Protocol

from onnxd.messages import Execution


class Held(Protocol):
    """Whoever holds an answer back."""

    def flush(self) -> None:
        """Write it."""


class Burst:
    """For one loop. What is held back is written with the last answer of its run, or else, when that goes
    another way or is slower, in the loop's next turn; in the order of `hold`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._held: list[Held] = []
        self._run: Execution | None = None
        """Of the last one that is held."""
        self._lacking = 0
        """Answers of that run that have not come."""
        self._ends_with_turn = False

    def hold(self, held: Held, run: Execution | None) -> None:
        """`run`: what has computed the answer."""
        self._held.append(held)
        if run is not None and run is self._run:
            self._lacking -= 1
            if not self._lacking:
                self.write()
                return
        else:
            self._run = run
            self._lacking = run.requests - 1 if run is not None else 0
        if not self._ends_with_turn:
            self._ends_with_turn = True
            self._loop.call_soon(self._end_turn)

    def write(self) -> None:
        """What is held back, now."""
        held, self._held, self._run = self._held, [], None
        for each in held:
            each.flush()

    def _end_turn(self) -> None:
        self._ends_with_turn = False
        self.write()
