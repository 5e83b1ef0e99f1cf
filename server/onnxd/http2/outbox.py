"""What a connection has to send: frames in order, and whose data is next.

Frames collect until the loop's turn is over and go to the transport in one write. Data waits with its stream
while a window or the socket is full; streams that wait take turns, a frame each.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from onnxd.http2.config import DEFAULT_WINDOW, LARGEST_WINDOW
from onnxd.http2.frames import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, pack_head
from onnxd.http2.settings import DEFAULT_HEADER_TABLE, PeerSettings

_TOGETHER_BYTES: Final = 65536
"""What is joined before it is written. More goes as the list it is, so that tensors are not copied."""
_QUANTUM_BYTES: Final = 262144
"""Of data, between two looks at whether the socket still takes it."""
_LARGEST_SENT: Final = 65536
"""The payload of a frame, where the client allows more: streams take turns by frames."""
_LOW_BYTES: Final = 65536
"""Of unsent data: little enough for more to be made."""
_TABLE_SIZE_0: Final = b"\x20"
_ANSWER: Final = HEADERS, END_HEADERS
_HEAD_FLAGS: Final = END_HEADERS
_TRAILER_FLAGS: Final = END_HEADERS | END_STREAM

Part = bytes | memoryview


class Outgoing:
    """The sending half of a stream."""

    __slots__ = (
        "_end_block",
        "_moved_s",
        "_outbox",
        "_queue",
        "_room",
        "ends_with_data",
        "is_ready",
        "moved",
        "said_all",
        "stream_id",
        "unsent_bytes",
        "window",
    )

    def __init__(self, stream_id: int, outbox: "Outbox") -> None:
        self.stream_id = stream_id
        self._outbox = outbox
        self.window = outbox.peer.window
        """Bytes of data that the client takes on this stream; below 0 after it has lowered its settings."""
        self._queue: deque[Part] = deque()
        self.unsent_bytes = 0
        self._end_block: bytes | None = None
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
            self._end_block = block
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
        self._end_block = None
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

    @property
    def end_block(self) -> bytes | None:
        """The trailers that wait behind the data."""
        return self._end_block

    def _tell_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)


class Outbox:
    """Of one connection."""

    __slots__ = (
        "_call_soon",
        "_joins",
        "_parts",
        "_pending_bytes",
        "_prefix",
        "_ready",
        "_scheduled",
        "_transport",
        "handed_bytes",
        "max_frame",
        "paused",
        "peer",
        "sent_frames",
        "unread_frames",
        "window",
    )

    def __init__(
        self, transport: asyncio.Transport, call_soon: Callable[..., object], *, joins: bool
    ) -> None:
        """`joins`: write everything as one piece, for a transport that makes a record of each (TLS)."""
        self._transport: asyncio.Transport | None = transport
        self._call_soon = call_soon
        self._joins = joins
        self._parts: list[Part] = []
        self._pending_bytes = 0
        self._prefix = b""
        """What the next header block begins with."""
        self._ready: deque[Outgoing] = deque()
        self._scheduled = False
        self.peer = PeerSettings()
        self.window = DEFAULT_WINDOW
        """Bytes of data that the client takes on this connection."""
        self.max_frame = self.peer.max_frame
        self.paused = False
        """Whether the socket takes no more."""
        self.sent_frames = 0
        """Of headers and data."""
        self.unread_frames = 0
        """Frames without data that were added since the socket was last seen to take anything."""
        self.handed_bytes = 0
        """To the transport, from the beginning."""

    # What is sent.

    def control(self, data: bytes) -> None:
        """A frame that no window bounds."""
        self._add(data)
        self.unread_frames += 1

    def headers(self, stream_id: int, block: bytes, *, end: bool) -> None:
        if self._prefix:
            block, self._prefix = self._prefix + block, b""
        end_flag = END_STREAM if end else 0
        most = self.max_frame
        if len(block) <= most:
            self._add(pack_head(len(block) << 8 | HEADERS, END_HEADERS | end_flag, stream_id) + block)
        else:
            self._add(pack_head(most << 8 | HEADERS, end_flag, stream_id) + block[:most])
            for at in range(most, len(block), most):
                part = block[at : at + most]
                flags = END_HEADERS if at + most >= len(block) else 0
                self._add(pack_head(len(part) << 8 | CONTINUATION, flags, stream_id) + part)
        self.sent_frames += 1
        self.unread_frames += 1

    def data(self, stream: Outgoing, parts: list[Part], size: int, *, end: bool) -> None:
        """One frame, which the windows take."""
        stream.window -= size
        self.window -= size
        stream.moved = True
        self._add(pack_head(size << 8 | DATA, END_STREAM if end else 0, stream.stream_id))
        self._parts += parts
        self._pending_bytes += size
        self.sent_frames += 1

    def answer(self, stream: Outgoing, head: bytes, parts: list[Part], size: int, trailers: bytes) -> None:
        """Three frames that `takes` and `is_short` allow."""
        stream_id = stream.stream_id
        self.window -= size
        self._add(
            pack_head(len(head) << 8 | HEADERS, _HEAD_FLAGS, stream_id)
            + head
            + pack_head(size << 8 | DATA, 0, stream_id)
        )
        self._parts += parts
        self._parts.append(pack_head(len(trailers) << 8 | HEADERS, _TRAILER_FLAGS, stream_id) + trailers)
        self._pending_bytes += size + len(trailers)
        self.sent_frames += 3
        self.unread_frames += 2

    def takes(self, stream: Outgoing, size: int) -> bool:
        """Whether so much data can go now, in one frame."""
        if not size:
            return True
        return size <= self.max_frame and size <= stream.window and size <= self.window and not self.paused

    def is_short(self, head: bytes, trailers: bytes) -> bool:
        """Whether each block fits a frame as it is."""
        return not self._prefix and len(head) <= self.max_frame >= len(trailers)

    # What the client says about it.

    def apply_settings(self, payload: bytes) -> int:
        """By how much the window of each open stream grows. Raises ConnectionFault."""
        grows = self.peer.apply(payload)
        self.max_frame = min(self.peer.max_frame, _LARGEST_SENT)
        if self.peer.header_table < DEFAULT_HEADER_TABLE and not self._prefix:
            self._prefix = _TABLE_SIZE_0
            self.peer.header_table = DEFAULT_HEADER_TABLE
        return grows

    def grow(self, increment: int) -> bool:
        """The connection's window; False = beyond what a window can be."""
        self.window += increment
        if self._ready:
            self._schedule()
        return self.window <= LARGEST_WINDOW

    def grow_stream(self, stream: Outgoing, increment: int) -> bool:
        stream.window += increment
        self.make_ready(stream)
        return stream.window <= LARGEST_WINDOW

    def make_ready(self, stream: Outgoing) -> None:
        """Let a stream take its turn, if it can use one."""
        if stream.window > 0 and stream.waits and not stream.is_ready:
            stream.is_ready = True
            self._ready.append(stream)
            self._schedule()

    # When it is sent.

    def hold(self) -> None:
        """`flush` will be called by the caller, in this turn of the loop."""
        self._scheduled = True

    def flush(self) -> None:
        """Write what is there, and of the data that waits what the socket takes."""
        self._scheduled = False
        while True:
            if self._ready:
                self._fill()
            parts = self._parts
            if not parts:
                return
            self._parts = []
            size, self._pending_bytes = self._pending_bytes, 0
            self.handed_bytes += size
            if self._transport is None:
                return
            if size <= _TOGETHER_BYTES or self._joins:
                self._transport.write(b"".join(parts))
            else:
                self._transport.writelines(parts)
            if not self._ready:
                return

    def resume(self) -> None:
        self.paused = False
        self.unread_frames = 0
        self.flush()

    def close(self) -> None:
        """The transport is gone."""
        self._transport = None
        self._parts.clear()
        self._ready.clear()

    def _add(self, data: bytes) -> None:
        self._parts.append(data)
        self._pending_bytes += len(data)
        if not self._scheduled:
            self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self.flush)

    def _fill(self) -> None:
        ready = self._ready
        while ready and self.window > 0 and not self.paused and self._pending_bytes < _QUANTUM_BYTES:
            stream = ready.popleft()
            stream.is_ready = False
            if stream.window <= 0 or not stream.waits:
                continue
            parts, size = stream.take(min(self.max_frame, stream.window, self.window))
            done = not stream.waits
            block = stream.end_block
            end = done and stream.ends_with_data
            self.data(stream, parts, size, end=end)
            if done and block is not None:
                self.headers(stream.stream_id, block, end=True)
                end = True
            if end:
                stream.sent_all()
            elif not done and stream.window > 0:
                stream.is_ready = True
                ready.append(stream)


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
