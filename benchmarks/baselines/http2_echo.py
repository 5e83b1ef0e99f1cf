"""An echo over HTTP/2 on a bare asyncio.Protocol and uvloop: a ceiling for gRPC in Python, not a design.

It answers each gRPC message with the bytes it was sent, unparsed, and ends a stream when its caller does.
Header blocks are decoded by hpack, those that only refer to tables once. No limits, no timeouts, no padding,
no CONTINUATION; it trusts the peer's window to be large.
"""

import asyncio
from typing import Any, Final

from hpack import Decoder

from benchmarks.baselines.listening import run, stay

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_WINDOW: Final = 2**30
_FRAME: Final = 16384
_DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
_END_STREAM, _END_HEADERS, _ACK, _PRIORITY = 1, 4, 1, 0x20
_ANSWER: Final = b"\x88\x00\x0ccontent-type\x10application/grpc"
_TRAILERS: Final = b"\x00\x0bgrpc-status\x010"


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    """One frame."""
    return b"%b%c%c%b%b" % (len(content).to_bytes(3), kind, flags, stream.to_bytes(4), content)


_HELLO: Final = (
    frame(_SETTINGS, 0, 0, b"\0\x04" + _WINDOW.to_bytes(4) + b"\0\x03" + (1024).to_bytes(4))
    + frame(8, 0, 0, (_WINDOW - 65535).to_bytes(4))
)  # fmt: skip
"""Stream and connection windows of a gigabyte, 1,024 streams."""


class Echo(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._waiting = b""
        self._prefaced = False
        self._decoder = Decoder()
        self._known: dict[bytes, Any] = {}
        """Header blocks that only refer to the table as it is."""
        self._calls: dict[int, bytes] = {}
        """What has come of the next message of each stream."""
        self._begun: set[int] = set()
        """Streams whose answer has its headers."""
        self._received = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._transport.write(_HELLO)

    def data_received(self, data: bytes) -> None:
        data = self._waiting + data
        at, end, out = 0, len(data), bytearray()
        if not self._prefaced:
            if end < len(_PREFACE):
                self._waiting = data
                return
            self._prefaced, at = True, len(_PREFACE)
        while end - at >= 9:
            length = int.from_bytes(data[at : at + 3])
            if end - at < 9 + length:
                break
            kind, flags, stream = data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9])
            self._take(kind, flags, stream, data[at + 9 : at + 9 + length], out)
            at += 9 + length
        self._waiting = data[at:]
        if self._received > _WINDOW // 2:
            out += frame(8, 0, 0, self._received.to_bytes(4))
            self._received = 0
        if out:
            self._transport.write(out)

    def _take(self, kind: int, flags: int, stream: int, content: bytes, out: bytearray) -> None:
        if kind == _DATA:
            self._received += len(content)
            waiting = self._calls.get(stream, b"") + content
            while len(waiting) >= 5 and len(waiting) >= (whole := 5 + int.from_bytes(waiting[1:5])):
                self._answer(stream, waiting[:whole], out)
                waiting = waiting[whole:]
            self._calls[stream] = waiting
        elif kind == _HEADERS:
            self._decode(content[5:] if flags & _PRIORITY else content)
            self._calls[stream] = b""
        elif kind == _SETTINGS and not flags & _ACK:
            out += frame(_SETTINGS, _ACK, 0)
        elif kind == _PING and not flags & _ACK:
            out += frame(_PING, _ACK, 0, content)
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            self._calls.pop(stream, None)
            self._begun.discard(stream)
            out += frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, _TRAILERS)

    def _answer(self, stream: int, message: bytes, out: bytearray) -> None:
        if stream not in self._begun:
            self._begun.add(stream)
            out += frame(_HEADERS, _END_HEADERS, stream, _ANSWER)
        for at in range(0, len(message), _FRAME):
            out += frame(_DATA, 0, stream, message[at : at + _FRAME])

    def _decode(self, block: bytes) -> Any:
        headers = self._known.get(block)
        if headers is None:
            headers = self._decoder.decode(block)
            if min(block) < 0x80:
                self._known.clear()  # it may have changed the table
            else:
                self._known[block] = headers
        return headers


async def main() -> None:
    """Listen, say where, and end on SIGTERM."""
    listener = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    await stay("grpc", listener.sockets[0].getsockname()[1])
    listener.close()


if __name__ == "__main__":
    run(main())
