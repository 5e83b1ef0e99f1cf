"""The scheduler's view of time and of the loop, so that its rules can be tested in virtual time."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that has not happened yet."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Monotonic time, and calls in the future on the loop's thread."""

    def now_s(self) -> float:
        """Seconds of time.monotonic()."""

    def call_soon(self, callback: Callable[[], object]) -> object:
        """After what the loop has read by now has been handled."""

    def call_at(self, when_s: float, callback: Callable[[], object]) -> Timer: ...


class LoopClock:
    """The running event loop. Its own `time()` is not used: uvloop's is rounded to the loop's last turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # Each request asks several times, and a method around these would double what that costs.
        self.now_s = time.monotonic
        self.call_soon = loop.call_soon

    def call_at(self, when_s: float, callback: Callable[[], object]) -> Timer:
        return self._loop.call_later(max(0.0, when_s - time.monotonic()), callback)
