"""One HTTP/2 connection of the server without a socket: bytes in, frames out, and a clock turned by hand."""

import asyncio
import heapq
import itertools
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from hpack import Decoder, Encoder

from onnxd.http2.config import Http2Config
from onnxd.http2.connection import Connection, Shared
from onnxd.http2.stream import Header, RequestHead, Stream
from tests.support.raw_http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    Frame,
    frame,
)

REQUEST: Final[list[Header]] = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/x"),
    (b":authority", b"test"),
]


@dataclass
class _Timer:
    callback: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class HandTurnedLoop:
    """Obeys onnxd.http2.connection.Loop."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self._soon: list[Callable[[], object]] = []
        self._later: list[tuple[float, int, _Timer]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now_s

    def call_soon(self, callback: Callable[[], object], /) -> object:
        self._soon.append(callback)
        return None

    def call_later(self, delay: float, callback: Callable[[], object], /) -> asyncio.TimerHandle:
        timer = _Timer(callback)
        heapq.heappush(self._later, (self.now_s + delay, next(self._order), timer))
        return cast(asyncio.TimerHandle, timer)

    def turn(self) -> None:
        while self._soon:
            self._soon.pop(0)()

    def advance(self, seconds: float) -> None:
        """Let time pass, calling what is due."""
        end_s = self.now_s + seconds
        while self._later and self._later[0][0] <= end_s:
            self.now_s, _, timer = heapq.heappop(self._later)
            if not timer.cancelled:
                timer.callback()
            self.turn()
        self.now_s = end_s


class MemoryTransport:
    """What a connection uses of asyncio.Transport. `takes` False: a socket whose other end reads nothing."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.writes: list[bytes | list[bytes | memoryview]] = []
        self.unsent = 0
        self.takes = True
        self.aborted = False
        self.closed = False
        self.half_closed = False
        self.protocol: Connection
        self._high = 65536

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.7", 50000) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None:
        self._high = high

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self._take(data)

    def writelines(self, parts: Iterable[bytes | memoryview]) -> None:
        kept = list(parts)
        self.writes.append(kept)
        self._take(b"".join(kept))

    def write_eof(self) -> None:
        self.half_closed = True

    def close(self) -> None:
        self.closed = True
        self.protocol.connection_lost(None)

    def abort(self) -> None:
        self.aborted = True
        self.protocol.connection_lost(None)

    def read_on(self) -> None:
        """The other end reads all that is there."""
        self.takes = True
        self.unsent = 0
        self.protocol.resume_writing()

    def _take(self, data: bytes) -> None:
        assert not self.half_closed, "asyncio raises RuntimeError"
        self.written += data
        if not self.takes:
            before, self.unsent = self.unsent, self.unsent + len(data)
            if before <= self._high < self.unsent:
                self.protocol.pause_writing()


@dataclass
class Held:
    """A handler that notes what it is told and answers when the test says so."""

    stream: Stream
    data: bytearray = field(default_factory=bytearray)
    trailers: list[Header] | None = None
    lost_with: int | None = None
    consumes: bool = True

    def data_received(self, data: bytes | memoryview) -> None:
        self.data += data
        if self.consumes:
            self.stream.consumed(len(data))

    def end_received(self, trailers: list[Header]) -> None:
        assert self.trailers is None
        self.trailers = trailers

    def lost(self, code: int) -> None:
        assert self.lost_with is None
        self.lost_with = code

    @property
    def head(self) -> RequestHead:
        return self.stream.head


class _Owner:
    """Obeys onnxd.http2.connection.ConnectionOwner."""

    def __init__(self, stand: "Stand") -> None:
        self._stand = stand

    def made(self, connection: Connection, address: str) -> bool:
        return not self._stand.is_one_too_many

    def lost(self, connection: Connection) -> None:
        self._stand.lost = True


class Stand:
    """A client's view of one connection, and the server's handlers of its streams."""

    def __init__(
        self,
        config: Http2Config | None = None,
        *,
        greets: bool = True,
        consumes: bool = True,
        is_one_too_many: bool = False,
        handler: "Callable[[Stream], Held] | None" = None,
    ) -> None:
        """`greets`: preface and settings are exchanged. `consumes`: handlers give windows back at once."""
        self.is_one_too_many = is_one_too_many
        self._make_handler = handler or (lambda stream: Held(stream, consumes=consumes))
        self.config = config or Http2Config()
        self.loop = HandTurnedLoop()
        self.transport = MemoryTransport()
        self.handlers: list[Held] = []
        self.lost = False
        self.encoder = Encoder()
        self._decoder = Decoder()
        self._seen = 0
        shared = Shared(self.config, self._handler)
        self.connection = self.transport.protocol = Connection(shared, _Owner(self), self.loop, spread=0.5)
        self.connection.connection_made(cast(asyncio.Transport, self.transport))
        if greets:
            self.send(PREFACE, frame(SETTINGS), frame(SETTINGS, ACK))
            self.frames()

    def _handler(self, stream: Stream) -> Held:
        self.handlers.append(self._make_handler(stream))
        return self.handlers[-1]

    # What the client does.

    def send(self, *parts: bytes) -> None:
        """As one segment, and the loop's turn."""
        self.send_in_pieces(b"".join(parts), 2**30)

    def send_in_pieces(self, data: bytes, size: int) -> None:
        """As segments of so many bytes."""
        at = 0
        while at < len(data) and not self.lost:
            buffer = self.connection.get_buffer(-1)
            count = min(size, len(buffer), len(data) - at)
            buffer[:count] = data[at : at + count]
            self.connection.buffer_updated(count)
            self.loop.turn()
            at += count

    def head(self, stream: int, more: Iterable[Header] = (), *, end: bool = False) -> bytes:
        """HEADERS of a good request."""
        block = self.encoder.encode([*REQUEST, *more])
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)

    def open(self, stream: int, more: Iterable[Header] = (), *, end: bool = False) -> Held:
        """Begin a stream; its handler."""
        self.send(self.head(stream, more, end=end))
        return self.handlers[-1]

    # What the client sees.

    def frames(self) -> list[Frame]:
        """Those that have come since the last time."""
        self.loop.turn()
        found = []
        data = self.transport.written
        while self._seen + 9 <= len(data):
            kind, flags, stream = struct.unpack_from(">BBI", data, self._seen + 3)
            ends = self._seen + 9 + int.from_bytes(data[self._seen : self._seen + 3], "big")
            found.append(Frame(kind, flags, stream, bytes(data[self._seen + 9 : ends])))
            self._seen = ends
        return found

    def decoded(self, received: Frame) -> dict[str, str]:
        return {str(name): str(value) for name, value in self._decoder.decode(received.payload)}

    def body(self, received: list[Frame], stream: int = 1) -> bytes:
        """The data of a stream."""
        return b"".join(one.payload for one in received if one.kind == DATA and one.stream == stream)

    def verdict(self) -> tuple[str, int] | None:
        """How the server took what was sent: ("connection", code) for GOAWAY with an error, ("stream", code)
        for RST_STREAM, None for neither."""
        verdict = None
        for received in self.frames():
            if received.kind == GOAWAY and received.goaway[0]:
                return "connection", received.goaway[0]
            if received.kind == RST_STREAM:
                verdict = "stream", int.from_bytes(received.payload, "big")
        return verdict
