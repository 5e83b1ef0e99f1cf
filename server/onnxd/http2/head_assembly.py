"""Heads that come in several frames (RFC 9113 §6.2 and §6.10). Pure."""

from typing import Final

from onnxd.http2.error_codes import ConnectionFault, ErrorCode
from onnxd.http2.frames import END_HEADERS, PADDED, PRIORITIZED

_MAX_FRAMES: Final = 64
"""Of one head. A client that has to split one needs a frame for each 16 KiB."""


class HeadAssembly:
    """Of one connection, on which one head at most is unfinished."""

    __slots__ = ("_bytes", "_max_bytes", "_parts", "flags", "stream_id")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._bytes = 0
        self.stream_id = 0
        """Whose head is unfinished; 0 = nobody's."""
        self.flags = 0
        """Of the HEADERS frame that the head began with."""

    def begin(self, flags: int, stream_id: int, payload: bytes) -> bytes | None:
        """HEADERS: the block, or None when more of it has to come. Raises ConnectionFault."""
        if flags & (PADDED | PRIORITIZED):
            payload = _without_padding(flags, payload)
        if len(payload) > self._max_bytes:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a head of too many bytes")
        if flags & END_HEADERS:
            return payload
        self._parts = [payload]
        self._bytes = len(payload)
        self.stream_id = stream_id
        self.flags = flags
        return None

    def go_on(self, flags: int, payload: bytes) -> bytes | None:
        """CONTINUATION on the same stream: likewise."""
        if not self.stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS before it")
        self._parts.append(payload)
        self._bytes += len(payload)
        if self._bytes > self._max_bytes or len(self._parts) > _MAX_FRAMES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a head of too many bytes or frames")
        if not flags & END_HEADERS:
            return None
        block = b"".join(self._parts)
        self._parts = []
        self.stream_id = 0
        return block


def _without_padding(flags: int, payload: bytes) -> bytes:
    """The header block of HEADERS: without padding, and without the priority that nobody uses."""
    at = padding = 0
    if flags & PADDED:
        if not payload:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS is too short for its padding's length")
        at, padding = 1, payload[0]
    if flags & PRIORITIZED:
        at += 5
        if at > len(payload):
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS is too short for its priority")
    if at + padding > len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the padding is longer than its frame")
    return payload[at : len(payload) - padding]
