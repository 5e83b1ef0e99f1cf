"""HTTP over a bare socket: requests as bytes, so that they can be wrong in every way."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as it was on the wire. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The text of a refusal, which has the one form that clients read."""
        assert self.headers["content-type"] == "application/json"
        assert "content-encoding" not in self.headers
        document = self.json()
        assert list(document) == ["error"]
        text = document["error"]
        assert isinstance(text, str)
        assert text
        return text

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


class RawConnection:
    """One connection. Everything it waits for has the test's own timeout as its bound."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send; a peer that has closed is no error here: the answer shows it."""
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def send_segment(self, data: bytes) -> None:
        """Send, and let a server on the same loop read it before anything else is sent."""
        await self.send(data)
        await asyncio.sleep(0)

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next answer. `head_only`: it is to a HEAD request, and has no body. Skips 100 Continue."""
        while True:
            head = await self._reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")[:-2]
            status = int(first.split(" ")[1])
            if status != 100:
                break
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = 0 if head_only else int(headers.get("content-length", "0"))
        return Answer(status, headers, await self._reader.readexactly(length))

    async def line(self) -> bytes:
        """The next line as it is: for answers that are not final."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def closed(self) -> bytes:
        """Wait until the server has closed the connection; what it sent before."""
        try:
            return await self._reader.read()
        except ConnectionError:
            return b""

    def abort(self) -> None:
        """Go away without a word."""
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


@asynccontextmanager
async def connect(port: int, *, buffer_bytes: int = 2**20) -> AsyncIterator[RawConnection]:
    """A connection to the server on this machine. `buffer_bytes`: what it holds before it stops reading."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=buffer_bytes)
    connection = RawConnection(reader, writer)
    try:
        yield connection
    finally:
        await connection.close()


def request_bytes(
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    host: str = "localhost",
) -> bytes:
    """A well-formed request with its length."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
