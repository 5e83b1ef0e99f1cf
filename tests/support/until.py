"""Waiting for something that only shows itself by asking: another process, the disk, a watched repository."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

_PATIENCE_S: Final = 60.0
_ASK_EVERY_S: Final = 0.01


async def until(condition: Callable[[], bool | Awaitable[bool]], *, patience_s: float = _PATIENCE_S) -> None:
    """Return once the condition holds; fail when it has not after a minute, or as long as is said."""
    async with asyncio.timeout(patience_s):
        while True:
            holds = condition()
            if await holds if inspect.isawaitable(holds) else holds:
                return
            await asyncio.sleep(_ASK_EVERY_S)
