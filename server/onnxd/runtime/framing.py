"""Documents over a pipe: four bytes of length, big-endian, then that many bytes of JSON.

JSON and not pickle, because what answers has just run a file that nobody vouches for.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

import orjson

MAX_FRAME_BYTES: Final = 16 * 2**20
_LENGTH_BYTES: Final = 4


class BrokenFrame(ValueError):
    """The other side ended within a frame, or sent what is not one."""


def encode(document: Mapping[str, Any]) -> bytes:
    """One frame. Raises BrokenFrame when it would be larger than the reader takes."""
    body = orjson.dumps(document)
    if len(body) > MAX_FRAME_BYTES:
        raise BrokenFrame(f"a frame of {len(body)} bytes is over the limit of {MAX_FRAME_BYTES}")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def write(stream: BinaryIO, document: Mapping[str, Any]) -> None:
    """Writes one frame and flushes. Blocks while the pipe is full."""
    stream.write(encode(document))
    stream.flush()


def read(stream: BinaryIO) -> dict[str, Any] | None:
    """The next frame; None when the other side has closed the pipe between two. Blocks."""
    head = stream.read(_LENGTH_BYTES)
    if not head:
        return None
    length = _length(head)
    body = stream.read(length)
    if len(body) < length:
        raise BrokenFrame("the pipe ended within a frame")
    return _decode(body)


async def read_async(stream: asyncio.StreamReader) -> dict[str, Any] | None:
    """Like `read`, on the loop."""
    try:
        head = await stream.readexactly(_LENGTH_BYTES)
        return _decode(await stream.readexactly(_length(head)))
    except asyncio.IncompleteReadError as error:
        if error.partial or error.expected != _LENGTH_BYTES:
            raise BrokenFrame("the pipe ended within a frame") from error
        return None


def _length(head: bytes) -> int:
    length = int.from_bytes(head, "big")
    if len(head) < _LENGTH_BYTES or length > MAX_FRAME_BYTES:
        raise BrokenFrame("the head of a frame is not one")
    return length


def _decode(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BrokenFrame("a frame is not JSON") from error
    if not isinstance(document, dict):
        raise BrokenFrame("a frame is not a JSON object")
    return document
