"""The deadlines of the requests of one batcher, under one timer."""

import math
from collections.abc import Callable
from typing import Final

from onnxd.scheduler.clock import Clock, Timer
from onnxd.scheduler.item import Item

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
        self.next_s = _NEVER
        """Before this nothing is due."""

    def watch(self, item: Item, when_s: float) -> None:
        """From now on, or anew: `when_s` is by the clock."""
        self._when_s[item] = when_s
        if when_s < self.next_s:
            self._look_at(when_s)

    def forget(self, item: Item) -> None:
        """It has ended. No effect if it is not watched."""
        self._when_s.pop(item, None)

    def look(self) -> None:
        """Expire what is due. Called by the timer; on a busy loop that can be late."""
        self._disarm()
        now_s = self._clock.now_s()
        for item in [item for item, when_s in self._when_s.items() if when_s <= now_s]:
            # Ending one may end others: what is gone by now has been seen to.
            if self._when_s.pop(item, None) is not None:
                self._expire(item)
        if self._when_s:
            self._look_at(min(self._when_s.values()))

    def close(self) -> None:
        """Nothing more will be called."""
        self._when_s.clear()
        self._disarm()

    def _look_at(self, when_s: float) -> None:
        self._disarm()
        self.next_s = when_s
        self._timer = self._clock.call_at(when_s, self.look)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.next_s = None, _NEVER
