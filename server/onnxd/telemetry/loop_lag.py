"""How late the event loop is: what everything on it has to wait for besides its own work."""

import asyncio
from types import TracebackType
from typing import Final

_EVERY_S: Final = 0.5
_WINDOW_S: Final = 15.0


class LoopLag:
    """A timer that notes how late it is called. An async context manager: it does so while it is open."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._worst_s = 0.0
        self._worst_before_s = 0.0
        self._window_ends_s = 0.0

    @property
    def worst_s(self) -> float:
        """The latest of the last 15 to 30 seconds."""
        return max(self._worst_s, self._worst_before_s)

    async def __aenter__(self) -> "LoopLag":
        self._arm(asyncio.get_running_loop())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def note(self, lag_s: float, now_s: float) -> None:
        """The timer was called that late."""
        if now_s >= self._window_ends_s:
            self._worst_before_s, self._worst_s = self._worst_s, 0.0
            self._window_ends_s = now_s + _WINDOW_S
        self._worst_s = max(self._worst_s, lag_s)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        due_s = loop.time() + _EVERY_S
        self._timer = loop.call_at(due_s, self._called, loop, due_s)

    def _called(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        now_s = loop.time()
        self.note(max(0.0, now_s - due_s), now_s)
        self._arm(loop)
