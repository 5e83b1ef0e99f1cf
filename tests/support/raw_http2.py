"""HTTP/2 over a bare socket: frames as bytes, so that they can be wrong in every way."""

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from hpack import Decoder

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK, END_STREAM, END_HEADERS = 1, 1, 4
ENHANCE_YOUR_CALM: Final = 11
_WINDOW: Final = 65535
_INITIAL_WINDOW_SIZE: Final = 4
"""The number of a setting."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it was on the wire."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def goaway(self) -> tuple[int, str]:
        """Error code and text."""
        assert self.kind == GOAWAY
        (code,) = struct.unpack_from(">I", self.payload, 4)
        return code, self.payload[8:].decode()


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(fields: Mapping[str, str]) -> bytes:
    """A header block of literals that nobody shall index."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())


def _text(text: str) -> bytes:
    data = text.encode("latin-1")
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, length = len(data) - 127, bytearray([127])
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes([*length, rest]) + data


class RawHttp2:
    """One connection, for one call. Everything it waits for has the test's own timeout as its bound."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder()
        self._initial = _WINDOW
        self._room = {0: _WINDOW, 1: _WINDOW}
        """Bytes that may be sent on the connection, and on the call's stream."""

    async def send(self, *frames: bytes) -> None:
        self._writer.write(b"".join(frames))
        await self._writer.drain()

    async def receive(self) -> Frame | None:
        """The next frame, or None when the server has closed the connection."""
        try:
            head = await self._reader.readexactly(9)
            payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                number, value = struct.unpack_from(">HI", payload, at)
                if number == _INITIAL_WINDOW_SIZE:
                    self._room[1] += value - self._initial
                    self._initial = value
            with suppress(ConnectionError):
                await self.send(frame(SETTINGS, ACK))
        elif kind == WINDOW_UPDATE and stream in self._room:
            self._room[stream] += int.from_bytes(payload, "big")
        return Frame(kind, flags, stream, payload)

    async def until(self, kind: int) -> Frame:
        """The next frame of a kind."""
        while (received := await self.receive()) is not None:
            if received.kind == kind:
                return received
        raise ConnectionError("the server closed the connection")

    async def call(self, path: str, message: bytes, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """All headers and trailers of a unary call. `message` has its prefix of five bytes already."""
        fields = {
            ":method": "POST", ":scheme": "http", ":path": path, ":authority": "test",
            "te": "trailers", "content-type": "application/grpc", **(more or {}),
        }  # fmt: skip
        await self.send(frame(HEADERS, END_HEADERS, 1, headers(fields)))
        sent = 0
        answered: dict[str, str] = {}
        while True:
            while sent < len(message) and (room := min(*self._room.values(), 16384)):
                part = message[sent : sent + room]
                sent += len(part)
                for stream in self._room:
                    self._room[stream] -= len(part)
                await self.send(frame(DATA, END_STREAM if sent == len(message) else 0, 1, part))
            received = await self.receive()
            if received is None:
                raise ConnectionError("the server closed the connection")
            if received.kind == HEADERS:
                answered |= {str(name): str(value) for name, value in self._decoder.decode(received.payload)}
            if received.kind == RST_STREAM or (received.kind == HEADERS and received.flags & END_STREAM):
                return answered


@asynccontextmanager
async def http2(port: int) -> AsyncIterator[RawHttp2]:
    """A connection on which preface and settings have been exchanged, and with the largest window."""
    async with raw_socket(port) as (reader, writer):
        connection = RawHttp2(reader, writer)
        window = struct.pack(">I", 2**30)
        await connection.send(PREFACE, frame(SETTINGS), frame(WINDOW_UPDATE, payload=window))
        await connection.until(SETTINGS)
        yield connection


@asynccontextmanager
async def raw_socket(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def message(data: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message with its prefix."""
    return struct.pack(">BI", compressed, len(data)) + data
