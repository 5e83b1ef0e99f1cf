"""The deadlines of the requests of one batcher, under one timer."""

import math
from collections.abc import Callable
from typing import Final

from onnxd.scheduler.clock import Clock, Timer
from onnxd.scheduler.queue import Item

_NEVER: Final = math.inf


class Deadlines:
    """Calls `expire` for an item when its time has come.

    One timer, for the earliest, and looked through when it fires: nearly every request is answered long
    before its deadline, and a timer of its own to set and cancel cost more than queueing it.
    """

    def __init__(self, clock: Clock, expire: Callable[[Item], None]) -> None:
        self._clock = clock
        self._expire = expire
        self._when_s: dict[Item, float] = {}
        self._timer: Timer | None = None
        self._looks_s = _NEVER

    def watch(self, item: Item, when_s: float) -> None:
        """From now on, or anew: `when_s` is by the clock."""
        self._when_s[item] = when_s
        if when_s < self._looks_s:
            self._look_at(when_s)

    def forget(self, item: Item) -> None:
        """It has ended. No effect if it is not watched."""
        self._when_s.pop(item, None)

    def close(self) -> None:
        """Nothing more will be called."""
        self._when_s.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look_at(self, when_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_s = when_s
        self._timer = self._clock.call_at(when_s, self._look)

    def _look(self) -> None:
        self._timer, self._looks_s = None, _NEVER
        now_s = self._clock.now_s()
        for item in [item for item, when_s in self._when_s.items() if when_s <= now_s]:
            del self._when_s[item]
            self._expire(item)
        if self._when_s:
            self._look_at(min(self._when_s.values()))
