"""A coroutine that begins at once, on its caller's stack, and goes on where the loop wakes it.

What asyncio's own eager tasks do since Python 3.12, for the few things that an exchange of the lane needs. An
ordinary task costs two more turns of the loop and is as dear as all the rest of a small request's HTTP.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

_enter: Final[Any] = asyncio.tasks._enter_task
_leave: Final[Any] = asyncio.tasks._leave_task


class EagerTask:
    """Runs a coroutine to its end, and then calls back with what it raised, if anything.

    Inside it is asyncio's current task: timeouts and task groups work, and may cancel it. Nobody can wait for
    it but by the callback. Used on the loop's thread only.
    """

    __slots__ = ("__weakref__", "_awaited", "_cancels", "_coroutine", "_loop", "_to_cancel", "_when_done")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, None],
        done: Callable[[BaseException | None], None],
    ) -> None:
        self._loop = loop
        self._coroutine: Coroutine[Any, Any, None] | None = coroutine
        self._when_done = done
        self._awaited: asyncio.Future[Any] | None = None
        self._cancels = 0
        self._to_cancel = False

    def step(self, woken_by: object = None) -> None:
        """Go on: first of all to begin, then called by what is awaited."""
        coroutine, self._awaited = self._coroutine, None
        if coroutine is None:
            return
        loop = self._loop
        raised: BaseException | None = None
        ended = False
        _enter(loop, self)
        try:
            if self._to_cancel:
                self._to_cancel = False
                awaited = coroutine.throw(asyncio.CancelledError())
            else:
                awaited = coroutine.send(None)
        except StopIteration:
            ended = True
        except BaseException as error:  # it is not lost: whoever began this is told
            ended, raised = True, error
        finally:
            _leave(loop, self)
        if ended:
            self._coroutine = None
            self._when_done(raised)
            return
        if awaited is None:  # a bare yield, as in sleep(0)
            loop.call_soon(self.step)
            return
        awaited._asyncio_future_blocking = False  # as a task says that it has understood
        awaited.add_done_callback(self.step)
        self._awaited = awaited
        if self._to_cancel and awaited.cancel():
            self._to_cancel = False

    def cancel(self, msg: object = None) -> bool:
        """Raise CancelledError in the coroutine, where it waits or where it waits next."""
        if self._coroutine is None:
            return False
        self._cancels += 1
        if self._awaited is None or not self._awaited.cancel():
            self._to_cancel = True
        return True

    def done(self) -> bool:
        """Whether it has ended."""
        return self._coroutine is None

    def cancelling(self) -> int:
        """How often it was cancelled and nobody took it back."""
        return self._cancels

    def uncancel(self) -> int:
        """Take one back."""
        self._cancels = max(0, self._cancels - 1)
        return self._cancels
