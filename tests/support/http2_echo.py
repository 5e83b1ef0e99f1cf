"""An HTTP/2 listener whose streams are answered with what they were sent, for real clients."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from onnxd.http2.config import Http2Config
from onnxd.http2.head_block import encode_block
from onnxd.http2.listener import Listener
from onnxd.http2.stream import Header, Stream

HEAD: Final = encode_block([(b":status", b"200"), (b"content-type", b"application/grpc")])
TRAILERS: Final = encode_block([(b"grpc-status", b"0")])


class Echo:
    """Answers when the caller has said all, unless its path is /held."""

    def __init__(self, stream: Stream, streams: "list[Echo]") -> None:
        self.stream = stream
        self.lost_with: int | None = None
        self._parts: list[bytes | memoryview] = []
        streams.append(self)

    def data_received(self, data: bytes | memoryview) -> None:
        self._parts.append(bytes(data))
        self.stream.consumed(len(data))

    def end_received(self, trailers: list[Header]) -> None:
        if (b":path", b"/held") not in self.stream.headers:
            self.stream.answer(HEAD, self._parts, TRAILERS)

    def lost(self, code: int) -> None:
        self.lost_with = code


class EchoListener(Listener):
    """With the streams that came."""

    streams: list[Echo]


@asynccontextmanager
async def echo(config: Http2Config | None = None, **options: Any) -> AsyncIterator[EchoListener]:
    """A listener on a free port; `options` are the listener's."""
    streams: list[Echo] = []

    def begin(stream: Stream) -> Echo:
        return Echo(stream, streams)

    listener = EchoListener(begin, config or Http2Config(), "127.0.0.1", 0, **options)
    listener.streams = streams
    async with listener:
        yield listener
