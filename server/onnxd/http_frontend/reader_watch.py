"""Readers that do not read.

asyncio says when its buffer is over its high-water mark and when it is below again; between the two the
buffer has to shrink. Nothing is paid for answers that just go out.
"""

import asyncio
import socket
import struct

from onnxd.http_frontend.config import HttpConfig


class ReaderWatch:
    """Ends a connection whose client takes nothing of its answer for too long."""

    __slots__ = ("_config", "_loop", "_timer", "_transport", "_unsent_bytes")

    def __init__(self, config: HttpConfig, loop: asyncio.AbstractEventLoop) -> None:
        self._config = config
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0

    def begin(self, transport: asyncio.Transport) -> None:
        """Writing is paused."""
        self._transport = transport
        self._unsent_bytes = transport.get_write_buffer_size()
        self._wait()

    def end(self) -> None:
        """It is resumed, or the connection is lost. May be repeated."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport = None

    def _wait(self) -> None:
        self._timer = self._loop.call_later(self._config.write_timeout, self._check)

    def _check(self) -> None:
        if self._transport is None:
            return
        unsent = self._transport.get_write_buffer_size()
        if self._unsent_bytes - unsent < max(1.0, self._config.min_rate * self._config.write_timeout):
            reset(self._transport)
            return
        self._unsent_bytes = unsent
        self._wait()


def reset(transport: asyncio.Transport) -> None:
    """End a connection whose reader does not read. Closing it in order would wait until all is sent, in our
    buffer or, for minutes and out of our sight, in the kernel's."""
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    transport.abort()
