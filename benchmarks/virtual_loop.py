"""An event loop whose time is virtual: it never sleeps, it turns its clock to the next timer.

So the server's own scheduler runs through an hour of traffic in seconds, each time in the same way.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from onnxd.scheduler.clock import Timer

T = TypeVar("T")
_RESOLUTION_S: Final = 1e-9


class VirtualLoop(asyncio.SelectorEventLoop):
    """For code that waits for timers and for itself, and for nothing outside."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_Turner(self.turn_to))
        self._clock_resolution = _RESOLUTION_S

    def time(self) -> float:
        return self._now_s

    def turn_to(self, seconds: float) -> None:
        """Let so many seconds have passed."""
        self._now_s += seconds


class VirtualClock:
    """Obeys onnxd.scheduler.clock.Clock on a VirtualLoop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now_s(self) -> float:
        return self._loop.time()

    def call_soon(self, callback: Callable[[], object]) -> object:
        return self._loop.call_soon(callback)

    def call_at(self, when_s: float, callback: Callable[[], object]) -> Timer:
        return self._loop.call_at(when_s, callback)


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, in no time. Raises RuntimeError when all wait for something that never comes."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class _Turner(selectors.SelectSelector):
    """Nothing ever comes from outside: to wait is to turn the clock."""

    def __init__(self, turn_to: Callable[[float], None]) -> None:
        super().__init__()
        self._turn_to = turn_to

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and no timer is set: nothing will ever happen")
        if timeout > 0:
            self._turn_to(timeout)
        return []
