"""A body on its way into the one buffer that it stays in."""

import asyncio
from typing import Final

import numpy as np

from onnxd.http_frontend.body import more_s, too_slow
from onnxd.http_frontend.config import HttpConfig

_ALIGNMENT: Final = 64


class Incoming:
    """Receives a body, which is complete when `done` is, or failed with RequestTooSlow."""

    __slots__ = ("_at", "_config", "_latest_s", "_loop", "_timer", "_view", "done", "missing")

    def __init__(
        self, length: int, json_length: int, config: HttpConfig, loop: asyncio.AbstractEventLoop
    ) -> None:
        """`json_length`: of the JSON part, behind which the tensors' bytes begin: they are received to an
        address that suits every datatype, or else each would be copied to one."""
        room = np.empty(length + _ALIGNMENT, np.uint8)  # not cleared, and not touched before bytes come
        start = -(room.ctypes.data + json_length) % _ALIGNMENT
        self._view = room.data[start : start + length]
        self._at = 0
        self._config = config
        self._loop = loop
        self._latest_s = loop.time() + config.body_timeout
        self.missing = length
        """Bytes that have not come."""
        self.done: asyncio.Future[memoryview] = loop.create_future()
        self._timer = loop.call_at(self._latest_s, self._check)

    def room(self) -> memoryview:
        """Where the next bytes belong."""
        return self._view[self._at :]

    def took(self, count: int) -> None:
        """So many have been put there."""
        self._at += count
        self.missing -= count
        if not self.missing:
            self.close()
            if not self.done.done():
                self.done.set_result(self._view)

    def close(self) -> None:
        """Nobody waits any more. May be repeated."""
        self._timer.cancel()

    def _check(self) -> None:
        until_s = self._latest_s + more_s(self._at, self._config)
        if self._loop.time() < until_s:
            self._timer = self._loop.call_at(until_s, self._check)
        elif not self.done.done():
            self.done.set_exception(too_slow(self._at, self._config))
