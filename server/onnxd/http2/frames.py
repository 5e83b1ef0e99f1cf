"""Frames (RFC 9113 §4 and §6): a walk over bytes as they come, and the few that a server writes.

Pure: what a frame means to a connection is decided in `incoming`.
"""

import struct
from typing import Final, Protocol

from onnxd.http2.error_codes import ConnectionFault, ErrorCode

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITIZED: Final = 0x20

HEAD_BYTES: Final = 9
_HEAD: Final = struct.Struct(">IBI")
"""Length and type together, flags, stream: two reads fewer than field by field."""
_WORD: Final = struct.Struct(">I")
_TWO_WORDS: Final = struct.Struct(">II")

unpack_head = _HEAD.unpack_from
pack_head = _HEAD.pack
unpack_word = _WORD.unpack_from


def frame_head(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    return pack_head(length << 8 | kind, flags, stream_id)


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return pack_head(len(payload) << 8 | kind, flags, stream_id) + payload


def rst_stream(stream_id: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream_id, _WORD.pack(code))


def window_update(stream_id: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, _WORD.pack(increment))


def goaway(last_stream_id: int, code: int, text: str) -> bytes:
    return frame(GOAWAY, 0, 0, _TWO_WORDS.pack(last_stream_id, code) + text.encode())


class FrameReceiver(Protocol):
    """Takes frames as they are found. Each method may raise ConnectionFault, which ends the walk."""

    def frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """A whole frame that is not DATA. Of a kind that RFC 9113 does not know, the payload is left out."""

    def data(self, flags: int, stream_id: int, part: memoryview, frame_bytes: int, padding: int) -> None:
        """DATA, or a part of it, without padding. The first part of a frame brings the bytes that the whole
        of it takes of the windows, and how many of them are padding; the last brings END_STREAM. A view is
        good until this returns."""


class FrameReader:
    """Finds frames in what has been read. Between two reads it keeps at most one unfinished frame that is not
    DATA: of DATA, what has come is handed on."""

    __slots__ = ("_data_left", "_flags", "_max_frame", "_max_kept", "_skip_left", "_stream_id")

    def __init__(self, max_frame: int, max_kept: int) -> None:
        """`max_kept`: bytes of the largest payload that is not DATA."""
        self._max_frame = max_frame
        self._max_kept = max_kept
        self._data_left = 0
        self._skip_left = 0
        """Bytes to come that mean nothing: padding, and frames of unknown kinds."""
        self._stream_id = 0
        self._flags = 0

    def read(self, view: memoryview, receiver: FrameReceiver) -> int:
        """Hand on what has come; how many bytes were used. What is left belongs before what comes next, and
        is less than a frame."""
        at, end = 0, len(view)
        if self._data_left or self._skip_left:
            at = self._go_on(view, end, receiver)
        while end - at >= HEAD_BYTES:
            length_and_kind, flags, stream_id = unpack_head(view, at)
            length, kind = length_and_kind >> 8, length_and_kind & 0xFF
            stream_id &= 0x7FFFFFFF
            if length > self._max_frame:
                raise ConnectionFault(
                    ErrorCode.FRAME_SIZE_ERROR,
                    f"a frame of {length} bytes, at most {self._max_frame} are allowed",
                )
            begins = at + HEAD_BYTES
            ends = begins + length
            if kind == DATA:
                if ends <= end and not flags & PADDED:
                    receiver.data(flags, stream_id, view[begins:ends], length, 0)
                    at = ends
                    continue
                used = self._begin_data(view[begins:], flags, stream_id, length, receiver)
                if not used and length:
                    break
                at = begins + used
            elif kind > CONTINUATION:
                receiver.frame(kind, flags, stream_id, b"")
                at = min(ends, end)
                self._skip_left = ends - at
            elif ends <= end:
                receiver.frame(kind, flags, stream_id, bytes(view[begins:ends]))
                at = ends
            elif length > self._max_kept:
                raise ConnectionFault(
                    ErrorCode.ENHANCE_YOUR_CALM, f"a frame of {length} bytes that is not DATA"
                )
            else:
                break
        return at

    def _begin_data(
        self, view: memoryview, flags: int, stream_id: int, length: int, receiver: FrameReceiver
    ) -> int:
        """DATA with padding, or of which a part has come. 0 = too little to tell."""
        if not len(view):
            if not length and flags & PADDED:
                raise ConnectionFault(
                    ErrorCode.FRAME_SIZE_ERROR, "DATA is too short for its padding's length"
                )
            return 0
        at = padding = 0
        if flags & PADDED:
            at, padding = 1, view[0] + 1
            if padding > length or not length:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the padding is longer than its frame")
            if at == len(view) and length > padding:
                return 0
        self._flags = flags
        self._stream_id = stream_id
        self._data_left = length - padding
        self._skip_left = padding - at
        return at + self._go_on(view[at:], len(view) - at, receiver, length, padding)

    def _go_on(
        self, view: memoryview, end: int, receiver: FrameReceiver, frame_bytes: int = 0, padding: int = 0
    ) -> int:
        """The next part of DATA, and what of its padding has come."""
        at = 0
        if self._data_left or frame_bytes:
            at = min(self._data_left, end)
            self._data_left -= at
            flags = self._flags & ~END_STREAM if self._data_left else self._flags
            receiver.data(flags, self._stream_id, view[:at], frame_bytes, padding)
        if not self._data_left:
            skipped = min(self._skip_left, end - at)
            self._skip_left -= skipped
            at += skipped
        return at
