"""A look at something that changes, again and again while a context lasts."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType


class Repeated:
    """Calls `look` every so often, the first time after one interval. What it raises ends the context.

    A class and no generator around a TaskGroup: an error of the context's body goes on as it is, not inside
    a group.
    """

    def __init__(self, look: Callable[[], Awaitable[None]], every_s: float, name: str) -> None:
        """`name` is the task's, for whoever looks at a hanging loop."""
        self._look = look
        self._every_s = every_s
        self._name = name
        self._tasks = asyncio.TaskGroup()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        await self._tasks.__aenter__()
        self._task = self._tasks.create_task(self._repeat(), name=self._name)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self._look()
