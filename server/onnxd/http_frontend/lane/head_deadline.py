"""The time that a connection has until the next head is there."""

import asyncio
from collections.abc import Callable


class HeadDeadline:
    """Calls back when a head has not come in time. One timer for a connection, which looks at what has become
    of it since: moving a timer for each request would cost more."""

    __slots__ = ("_allowed_s", "_expired", "_loop", "_timer", "at_s")

    def __init__(
        self, allowed_s: float, loop: asyncio.AbstractEventLoop, expired: Callable[[], bool]
    ) -> None:
        """`allowed_s` 0: for ever. `expired` ends the connection, or says False: no head is waited for."""
        self._allowed_s = allowed_s
        self._loop = loop
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None
        self.at_s = 0.0
        """In the loop's time."""

    def start(self) -> None:
        """From now on; may be repeated, for the next head."""
        self.at_s = self._loop.time() + self._allowed_s
        if self._timer is None and self._allowed_s > 0:
            self._timer = self._loop.call_at(self.at_s, self._look)

    def stop(self) -> None:
        """No head is waited for any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        if now_s < self.at_s:
            self._timer = self._loop.call_at(self.at_s, self._look)
        elif not self._expired():
            # The next start is later than now, and so its end is later than this.
            self._timer = self._loop.call_at(now_s + self._allowed_s, self._look)
