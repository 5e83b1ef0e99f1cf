"""From the bytes of a stream to the messages in it, and back.

A message is a flag (1 = compressed), its length in four bytes, and itself; messages and the frames of HTTP/2
begin and end wherever they like.
"""

import struct
from collections import deque
from typing import Final, NamedTuple

import numpy as np

from onnxd.errors import MalformedPayload, PayloadTooLarge, ServerError, Unavailable
from onnxd.grpc_frontend.context import Parts, Received
from onnxd.protocol.compression import Encoding, compress, decompress
from onnxd.scheduler.payloads import Payload, PayloadBound

_PREFIX: Final = struct.Struct(">BI")
_COPIED_BYTES: Final = 4096
"""Up to this size a copy costs less than what it takes to work with a view."""
_ALIGNED_BYTES: Final = 16
"""Where NumPy's memory begins, and more than any number needs."""
IN_THREAD_BYTES: Final = 16384
"""Of more than that, compressing and what comes out of decompressing are done off the loop."""


class Message(NamedTuple):
    """One message, as it came."""

    compressed: bool
    data: Received
    held_bytes: int
    """That are held for it of the bound on all requests' payload."""


class Inbox:
    """Takes the bytes in, and holds the messages that are complete.

    What comes in several pieces is held of the bound on all payload from its first piece on; whoever takes
    the message holds it from then on. `close` gives back what nobody took.
    """

    __slots__ = (
        "_buffer",
        "_compressed",
        "_filled",
        "_max_bytes",
        "_payload",
        "_payloads",
        "_prefix",
        "ready",
    )

    def __init__(self, max_bytes: int, payloads: PayloadBound) -> None:
        """`max_bytes` of one message; -1 = no bound."""
        self.ready: deque[Message] = deque()
        self._max_bytes = max_bytes
        self._payloads = payloads
        self._payload: Payload | None = None
        self._prefix = b""
        self._compressed = False
        self._buffer: memoryview | None = None
        self._filled = 0

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._prefix) or self._buffer is not None

    def feed(self, data: Received) -> None:
        """Take bytes in, which may be gone afterwards. Raises PayloadTooLarge as soon as a length is over the
        bound, MalformedPayload for a flag that is none, and Unavailable where too much is held already."""
        at, size = 0, len(data)
        while at < size:
            if self._buffer is not None:
                at = self._fill(self._buffer, data, at)
                continue
            if self._prefix or size - at < _PREFIX.size:
                end = min(at + _PREFIX.size - len(self._prefix), size)
                self._prefix += data[at:end]
                at = end
                if len(self._prefix) < _PREFIX.size:
                    return
                prefix, self._prefix = self._prefix, b""
                flag, length = _PREFIX.unpack(prefix)
            else:
                flag, length = _PREFIX.unpack_from(data, at)
                at += _PREFIX.size
            if flag > 1 or length > self._max_bytes:
                self._check(flag, length)
            end = at + length
            if end <= size:
                self.ready.append(Message(flag == 1, whole(data[at:end]), 0))
                at = end
            else:
                self._begin(flag, length)

    def take(self) -> Message:
        """The first that is ready."""
        message = self.ready.popleft()
        if self._payload is not None:
            self._payload.add(-message.held_bytes)
        return message

    def close(self) -> None:
        """Forget what is here. May be repeated."""
        self.ready.clear()
        self._buffer = None
        if self._payload is not None:
            self._payload.release()

    def _check(self, flag: int, length: int) -> None:
        if flag > 1:
            raise MalformedPayload(
                f"expected a gRPC message to begin with 0, or 1 if it is compressed, got {flag}"
            )
        if 0 <= self._max_bytes < length:
            raise PayloadTooLarge(
                f"expected a message of at most {self._max_bytes} bytes, got one of {length}; send less at "
                "once"
            )

    def _begin(self, flag: int, length: int) -> None:
        if self._payload is None:
            self._payload = self._payloads.open()
        self._payload.grow(length)
        self._compressed = flag == 1
        self._filled = 0
        self._buffer = _room(length)

    def _fill(self, buffer: memoryview, data: Received, at: int) -> int:
        """Where in the data the message ends, or the data does."""
        count = min(len(buffer) - self._filled, len(data) - at)
        filled = self._filled + count
        buffer[self._filled : filled] = data[at : at + count]
        self._filled = filled
        if filled == len(buffer):
            whole = bytes(buffer) if filled <= _COPIED_BYTES else buffer.toreadonly()
            self.ready.append(Message(self._compressed, whole, filled))
            self._buffer = None
        return at + count


def whole(data: Received) -> Received:
    """A message that has come in one piece, which may be gone afterwards."""
    size = len(data)
    if size <= _COPIED_BYTES:
        return bytes(data)
    buffer = _room(size)
    buffer[:] = data
    return buffer.toreadonly()


def _room(length: int) -> memoryview:
    """Memory that is not touched before something comes: a length is only a claim.

    It ends where any number may begin, and with it the last tensor of a request: so that begins where its
    numbers may, too, and need not be copied to such a place.
    """
    before = -length % _ALIGNED_BYTES
    try:
        return np.empty(before + length, np.uint8).data[before:]
    except MemoryError:
        raise Unavailable(
            f"no memory for a message of {length} bytes now; try again later, or send less at once",
            retry_after_s=1.0,
        ) from None


def plain(data: Received, encoding: str, max_bytes: int) -> bytes:
    """What a compressed message says. Raises MalformedPayload, and PayloadTooLarge over the bound."""
    if encoding == "identity":
        raise ServerError("a message is marked as compressed, but 'grpc-encoding' does not say how")
    return decompress(data, max_bytes)


def size_of(message: Parts) -> int:
    """In bytes."""
    return len(message) if isinstance(message, bytes) else sum(map(len, message))


def framed(message: Parts, size: int) -> list[bytes | memoryview]:
    """The message behind its prefix."""
    prefix = _PREFIX.pack(0, size)
    if isinstance(message, bytes):
        return [prefix + message] if size <= _COPIED_BYTES else [prefix, message]
    return [prefix, *message]


def framed_smaller(message: Parts, size: int, encoding: Encoding) -> list[bytes | memoryview]:
    """The message behind its prefix, compressed if that makes it smaller."""
    parts: list[bytes | memoryview] = [message] if isinstance(message, bytes) else message
    small = compress(parts, encoding)
    if len(small) >= size:
        return framed(message, size)
    return [_PREFIX.pack(1, len(small)), small]
