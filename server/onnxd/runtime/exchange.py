"""What the server and a model's process say to each other: a document with tensors, in shared memory.

Over the socket between them goes only the wake-up, of one size: which exchange it is of, and where in the
buffer its document lies. The document is JSON, and not pickle, because one side runs a file that nobody
vouches for.
"""

import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import orjson

from onnxd.runtime.parcel import pack
from onnxd.runtime.shared_buffer import SharedBuffer
from onnxd.tensors import Array

_WAKE_UP: Final = struct.Struct("<QQQQ")
WAKE_UP_BYTES: Final = _WAKE_UP.size
TENSORS: Final = "tensors"
"""The document's key for the list of its tensors."""


class Unreadable(ValueError):
    """The other side sent what is not a document of ours."""


def write(
    buffer: SharedBuffer, number: int, document: Mapping[str, Any], tensors: Mapping[str, Array]
) -> bytes:
    """Puts both into the buffer, and returns the wake-up to send.

    Raises MemoryError when they do not fit, UnicodeError for text that UTF-8 cannot hold.
    """
    entries, end = pack(tensors, buffer)
    body = orjson.dumps({**document, TENSORS: entries})
    buffer.reserve(end + len(body))
    np.copyto(buffer.bytes_at(end, len(body)), np.frombuffer(body, np.uint8))
    return wake_up(number, end, len(body), buffer.size)


def wake_up(number: int, offset: int, length: int, size: int) -> bytes:
    """Of an exchange: where its document lies, and how far the buffer has grown."""
    return _WAKE_UP.pack(number, offset, length, size)


def read(buffer: SharedBuffer, received: bytes) -> tuple[int, dict[str, Any]]:
    """The exchange's number and its document, from a wake-up. Raises Unreadable."""
    number, offset, length, size = _WAKE_UP.unpack(received)
    try:
        buffer.follow(size)
        document = orjson.loads(buffer.bytes_at(offset, length).tobytes())
    except (ValueError, OSError) as error:
        raise Unreadable(str(error)) from error
    if not isinstance(document, dict):
        raise Unreadable("it is not a JSON object")
    return number, document
