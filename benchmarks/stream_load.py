"""Messages in flight on ModelStreamInfer, which h2load cannot send: it knows requests, not streams of them.

    python -m benchmarks.stream_load PORT PATH MESSAGE_FILE IN_FLIGHT SECONDS

HTTP/2 by hand, as little of it as a stream needs: one stream on each of at most eight connections, and for
each answer the same message again. It ends by half-closing, and waits for what is still to come.
"""

import asyncio
import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks.baselines.http2_echo import frame
from benchmarks.latencies import summary

MOST_CONNECTIONS: Final = 8
_WINDOW: Final = 2**30
_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_STREAM: Final = 1
_LAST_S: Final = 20.0
"""So long it waits for answers after the end."""


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\0%c%b%c%b" % (len(name), name, len(value), value)


class Stream(asyncio.Protocol):
    """A connection with one stream on it."""

    def __init__(self, path: str, message: bytes, in_flight: int, end_s: float) -> None:
        """`message` with the five bytes that frame it."""
        self._path, self._message, self._in_flight, self._end_s = path, message, in_flight, end_s
        self._frame = frame(_DATA, 0, _STREAM, message)
        self._waiting, self._body = b"", b""
        self._sent_s: deque[float] = deque()
        self._owed = 0
        """Messages that the peer's windows have no room for."""
        self._connection_room, self._stream_room, self._initial = 65535, 65535, 65535
        self._received = 0
        self._half_closed = False
        self.latencies_s: list[float] = []
        self.failed = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        headers = b"\x83\x86" + b"".join(
            _literal(name, value)
            for name, value in (
                (b":path", self._path.encode()), (b":authority", b"127.0.0.1"), (b"te", b"trailers"),
                (b"content-type", b"application/grpc"),
            )
        )  # fmt: skip
        self._transport.write(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(_SETTINGS, 0, 0, b"\0\x04" + _WINDOW.to_bytes(4))
            + frame(_WINDOW_UPDATE, 0, 0, (_WINDOW - 65535).to_bytes(4))
            + frame(_HEADERS, _END_HEADERS, _STREAM, headers)
        )
        self._owed = self._in_flight
        self._send(bytearray())

    def connection_lost(self, error: Exception | None) -> None:
        self.failed += len(self._sent_s)
        self._end()

    def data_received(self, data: bytes) -> None:
        data = self._waiting + data if self._waiting else data
        at, end, out = 0, len(data), bytearray()
        while end - at >= 9:
            length = int.from_bytes(data[at : at + 3])
            if end - at < 9 + length:
                break
            self._take(data[at + 3], data[at + 4], data[at + 9 : at + 9 + length], data[at + 8], out)
            at += 9 + length
        self._waiting = data[at:]
        if self._received > _WINDOW // 2:
            out += frame(_WINDOW_UPDATE, 0, 0, self._received.to_bytes(4))
            out += frame(_WINDOW_UPDATE, 0, _STREAM, self._received.to_bytes(4))
            self._received = 0
        self._send(out)

    def _take(self, kind: int, flags: int, content: bytes, stream: int, out: bytearray) -> None:
        if kind == _DATA:
            self._received += len(content)
            self._body += content
            while len(self._body) >= 5 and len(self._body) >= (whole := 5 + int.from_bytes(self._body[1:5])):
                self._answered(self._body[:whole])
                self._body = self._body[whole:]
        elif kind == _WINDOW_UPDATE:
            if stream:
                self._stream_room += int.from_bytes(content)
            else:
                self._connection_room += int.from_bytes(content)
        elif kind == _SETTINGS and not flags & _ACK:
            for entry in range(0, len(content), 6):
                if content[entry : entry + 2] == b"\0\x04":
                    initial = int.from_bytes(content[entry + 2 : entry + 6])
                    self._stream_room += initial - self._initial
                    self._initial = initial
            out += frame(_SETTINGS, _ACK, 0)
        elif kind == _PING and not flags & _ACK:
            out += frame(_PING, _ACK, 0, content)
        if (kind in (_DATA, _HEADERS) and flags & _END_STREAM) or kind in (3, _GOAWAY):
            self.failed += len(self._sent_s)
            self._end()

    def _answered(self, message: bytes) -> None:
        now_s = time.monotonic()
        self.latencies_s.append(now_s - self._sent_s.popleft())
        # An answer that has the field error_message, and is not our own message come back.
        self.failed += message[5:6] == b"\n" and message != self._message
        if now_s < self._end_s:
            self._owed += 1
        elif not self._half_closed:
            self._half_closed, self._owed = True, 0
            self._transport.write(frame(_DATA, _END_STREAM, _STREAM))

    def _send(self, out: bytearray) -> None:
        size, now_s = len(self._message), time.monotonic()
        while self._owed and not self._half_closed and min(self._connection_room, self._stream_room) >= size:
            self._owed -= 1
            self._connection_room -= size
            self._stream_room -= size
            self._sent_s.append(now_s)
            out += self._frame
        if out:
            self._transport.write(out)

    def _end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


async def main(port: int, path: str, message: bytes, in_flight: int, seconds: float) -> None:
    """Keep the messages in flight, and print what came back."""
    loop = asyncio.get_running_loop()
    connections = min(in_flight, MOST_CONNECTIONS)
    end_s = time.monotonic() + seconds
    streams = [
        (
            await loop.create_connection(
                lambda: Stream(path, message, in_flight // connections, end_s), "127.0.0.1", port
            )
        )
        for _ in range(connections)
    ]
    async with asyncio.timeout(seconds + _LAST_S):
        await asyncio.gather(*(stream.over for _, stream in streams))
    for transport, _ in streams:
        transport.close()
    latencies_s = [each for _, stream in streams for each in stream.latencies_s]
    failed = sum(stream.failed for _, stream in streams)
    print("RESULT", json.dumps(summary(latencies_s, failed)))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        words = sys.argv[1:]
        runner.run(main(int(words[0]), words[1], Path(words[2]).read_bytes(), int(words[3]), float(words[4])))
