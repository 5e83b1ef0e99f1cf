"""An echo on a bare asyncio.Protocol and uvloop: a ceiling for HTTP in Python, not a design.

Parsed with httptools where that is installed, else with a search for the head's end. No limits, no timeouts,
no chunked bodies, no flow control.
"""

import asyncio
import importlib.util
from typing import Any, Final

from benchmarks.baselines.listening import run, stay

_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n%b"
_LENGTH: Final = b"\r\nContent-Length: "


class SearchedEcho(asyncio.Protocol):
    """Finds the head's end and its Content-Length itself, which it knows in this spelling alone."""

    def __init__(self) -> None:
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        if self._waiting:
            data = self._waiting + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            at = data.index(_LENGTH, 0, end) + len(_LENGTH)
            last = end + 4 + int(data[at : data.index(b"\r\n", at)])
            if len(data) < last:
                break
            body = data[end + 4 : last]
            self._transport.write(_HEAD % (len(body), body))
            data = data[last:]
        self._waiting = data


class ParsedEcho(asyncio.Protocol):
    """Fed to httptools."""

    def __init__(self) -> None:
        httptools = importlib.import_module("httptools")
        self._parser = httptools.HttpRequestParser(self)
        self._parts: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        body = b"".join(self._parts)
        self._parts.clear()
        self._transport.write(_HEAD % (len(body), body))


async def main() -> None:
    """Listen, say where, and end on SIGTERM."""
    kind = ParsedEcho if importlib.util.find_spec("httptools") else SearchedEcho
    listener = await asyncio.get_running_loop().create_server(kind, "127.0.0.1", 0)
    await stay("http", listener.sockets[0].getsockname()[1])
    listener.close()


if __name__ == "__main__":
    run(main())
