"""A stream without a connection: what is sent on it is there to be looked at."""

import asyncio
from collections.abc import Mapping

from hpack import Decoder

from onnxd.http2.head_block import encode_block
from onnxd.http2.stream import Header, RequestHead


class FakeStream:
    """Obeys onnxd.http2.stream.Stream, and its order: a head, data, and one end."""

    def __init__(self, headers: list[Header], *, peer_certificate: bytes | None = None) -> None:
        self.head = RequestHead(headers)
        self.peer = "ipv4:127.0.0.1:50000"
        self.peer_certificate = peer_certificate
        self.unsent_bytes = 0
        self.heads: list[dict[str, str]] = []
        """The head of the answer, and its trailers; or both as one."""
        self.data = b""
        self.consumed_bytes = 0
        self.ended = asyncio.Event()
        self.is_full = False
        self._taken = asyncio.Event()

    @property
    def headers(self) -> list[Header]:
        return self.head.headers

    @property
    def status(self) -> tuple[int, str]:
        """Code and text."""
        assert self.ended.is_set()
        return int(self.heads[-1]["grpc-status"]), self.heads[-1].get("grpc-message", "")

    def send_headers(self, headers: list[Header], *, end: bool = False) -> None:
        self.send_block(encode_block(headers), end=end)

    def send_block(self, block: bytes, *, end: bool = False) -> None:
        if self.ended.is_set():
            return
        self.heads.append({str(name): str(value) for name, value in Decoder().decode(block)})
        assert len(self.heads) <= 2
        if end:
            self.ended.set()

    def send_data(self, parts: list[bytes | memoryview], *, end: bool = False) -> None:
        if not self.ended.is_set():
            assert len(self.heads) == 1
            self.data += b"".join(parts)

    def answer(self, head: bytes, parts: list[bytes | memoryview], trailers: bytes) -> None:
        self.send_block(head)
        self.send_data(parts)
        self.send_block(trailers, end=True)

    async def room(self) -> None:
        if self.is_full:
            await self._taken.wait()

    def take(self) -> None:
        """The caller reads what it was sent."""
        self.is_full = False
        self._taken.set()

    def consumed(self, count: int) -> None:
        self.consumed_bytes += count

    def reset(self, code: int) -> None:
        self.ended.set()


def head_of(path: str, **more: str) -> list[Header]:
    """The headers of a call; `more` with underscores for dashes, and empty for what is left out."""
    return headers_of(
        {":method": "POST", ":scheme": "http", ":path": path, ":authority": "test", "te": "trailers"}
        | {"content-type": "application/grpc"}
        | {name.replace("_", "-"): value for name, value in more.items()}
    )


def headers_of(fields: Mapping[str, str]) -> list[Header]:
    return [(name.encode(), value.encode("latin-1")) for name, value in fields.items() if value]
