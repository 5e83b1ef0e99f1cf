"""Keeping big work off the loop's thread."""

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

ON_LOOP_BYTES: Final = 65536
"""Up to this size the hop to a thread and back costs more than the work."""


async def by_size(size: int, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call a pure function of `size` bytes: here when they are few, on a thread when they are many."""
    if size <= ON_LOOP_BYTES:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
