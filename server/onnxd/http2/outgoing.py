"""The sending half of a stream: what waits for the client to take it, in order."""

import asyncio
from collections import deque
from typing import Final, Protocol

_LOW_BYTES: Final = 65536
"""Of unsent data: little enough for more to be made."""

Part = bytes | memoryview


class Sink(Protocol):
    """What a stream asks of its connection's outbox."""

    def headers(self, stream_id: int, block: bytes, *, end: bool) -> None: ...

    def takes(self, stream: "Outgoing", size: int) -> bool: ...

    def data(self, stream: "Outgoing", parts: list[Part], size: int, *, end: bool) -> None: ...

    def is_short(self, head: bytes, trailers: bytes) -> bool: ...

    def answer(
        self, stream: "Outgoing", head: bytes, parts: list[Part], size: int, trailers: bytes
    ) -> None: ...

    def make_ready(self, stream: "Outgoing") -> None: ...


class Outgoing:
    """The sending half of a stream."""

    __slots__ = (
        "_moved_s",
        "_outbox",
        "_queue",
        "_room",
        "end_block",
        "ends_with_data",
        "is_ready",
        "moved",
        "said_all",
        "stream_id",
        "unsent_bytes",
        "window",
    )

    def __init__(self, stream_id: int, outbox: Sink, window: int) -> None:
        self.stream_id = stream_id
        self._outbox = outbox
        self.window = window
        """Bytes of data that the client takes on this stream; below 0 after it has lowered its settings."""
        self._queue: deque[Part] = deque()
        self.unsent_bytes = 0
        self.end_block: bytes | None = None
        """The trailers that wait behind the data."""
        self._room: asyncio.Future[None] | None = None
        self.said_all = False
        """Whether nothing more can be said: the end is sent or waits behind data, or the stream is over."""
        self.ends_with_data = False
        self.is_ready = False
        """Whether it is among the streams whose turn comes."""
        self._moved_s = 0.0
        self.moved = True
        """Whether data of it was sent since somebody last looked."""

    def sent_all(self) -> None:
        """The end has gone out. For the stream to know."""

    def is_stalled(self, now_s: float, after_s: float) -> bool:
        """Whether data waits and none was sent for so many seconds, as far as was looked."""
        if self.moved or not self._queue:
            self.moved = False
            self._moved_s = now_s
            return False
        return now_s - self._moved_s >= after_s

    def send_block(self, block: bytes, *, end: bool = False) -> None:
        if self.said_all:
            return
        self.said_all = end
        if self._queue:
            self.end_block = block
            self.said_all = True
            return
        self._outbox.headers(self.stream_id, block, end=end)
        if end:
            self.sent_all()

    def send_data(self, parts: list[Part], *, end: bool = False) -> None:
        if self.said_all:
            return
        self.said_all = end
        parts, size = _flat(parts)
        if not self._queue and self._outbox.takes(self, size):
            self._outbox.data(self, parts, size, end=end)
            if end:
                self.sent_all()
            return
        self._queue.extend(parts)
        self.unsent_bytes += size
        self.ends_with_data = end
        self._outbox.make_ready(self)

    def answer(self, head: bytes, parts: list[Part], trailers: bytes) -> None:
        if self.said_all:
            return
        outbox = self._outbox
        flat, size = _flat(parts)
        if self._queue or not outbox.takes(self, size) or not outbox.is_short(head, trailers):
            self.send_block(head)
            self.send_data(flat)
            self.send_block(trailers, end=True)
            return
        self.said_all = True
        outbox.answer(self, head, flat, size, trailers)
        self.sent_all()

    async def room(self) -> None:
        while self.unsent_bytes > _LOW_BYTES:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)

    def drop_unsent(self) -> None:
        """The stream is over; nothing of it will be sent."""
        self.said_all = True
        self._queue.clear()
        self.end_block = None
        self.ends_with_data = False
        self.unsent_bytes = 0
        self._tell_room()

    @property
    def waits(self) -> bool:
        """Whether there is data to send."""
        return bool(self._queue)

    def take(self, most: int) -> tuple[list[Part], int]:
        """The next data, at most so many bytes."""
        parts: list[Part] = []
        size = 0
        queue = self._queue
        while queue and size < most:
            part = queue.popleft()
            room = most - size
            if len(part) > room:
                view = memoryview(part)
                queue.appendleft(view[room:])
                part = view[:room]
            parts.append(part)
            size += len(part)
        self.unsent_bytes -= size
        if self.unsent_bytes <= _LOW_BYTES:
            self._tell_room()
        return parts, size

    def _tell_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)


def _flat(parts: list[Part]) -> tuple[list[Part], int]:
    """Parts as octets, and how many."""
    size = 0
    for at, part in enumerate(parts):
        if type(part) is memoryview and (part.itemsize != 1 or part.ndim != 1):
            parts = [*parts[:at], part.cast("B"), *parts[at + 1 :]]
            size += part.nbytes
        else:
            size += len(part)
    return parts, size
