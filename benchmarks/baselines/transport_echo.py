"""An echo on the server's own HTTP/2 transport and uvloop, with all its limits: what gRPC is built on."""

from typing import Final

from benchmarks.baselines.listening import run, stay
from onnxd.http2.config import Http2Config
from onnxd.http2.head_block import encode_block
from onnxd.http2.listener import Listener
from onnxd.http2.stream import Header, Stream

_HEAD: Final = encode_block([(b":status", b"200"), (b"content-type", b"application/grpc")])
_TRAILERS: Final = encode_block([(b"grpc-status", b"0")])


class Echo:
    """Answers with the bytes that it was sent."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._parts: list[bytes | memoryview] = []

    def data_received(self, data: bytes | memoryview) -> None:
        self._parts.append(bytes(data))
        self._stream.consumed(len(data))

    def end_received(self, trailers: list[Header]) -> None:
        self._stream.answer(_HEAD, self._parts, _TRAILERS)

    def lost(self, code: int) -> None:
        pass


async def main() -> None:
    """Listen, say where, and end on SIGTERM."""
    async with Listener(Echo, Http2Config(), "127.0.0.1", 0) as listener:
        await stay("grpc", listener.port)


if __name__ == "__main__":
    run(main())
