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
from onnxd.http2.outgoing import Outgoing, Part
from onnxd.http2.settings import DEFAULT_HEADER_TABLE, PeerSettings

_TOGETHER_BYTES: Final = 65536
"""What is joined before it is written. More goes as the list it is, so that tensors are not copied."""
_QUANTUM_BYTES: Final = 262144
"""Of data, between two looks at whether the socket still takes it."""
_LARGEST_SENT: Final = 65536
"""The payload of a frame, where the client allows more: streams take turns by frames."""
_TABLE_SIZE_0: Final = b"\x20"
_ANSWER: Final = HEADERS, END_HEADERS
_HEAD_FLAGS: Final = END_HEADERS
_TRAILER_FLAGS: Final = END_HEADERS | END_STREAM


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
