"""Tensors in a SharedBuffer: how they lie there, and back.

Each begins at a multiple of 64 bytes. Of numbers there are the bytes, of texts four bytes of length for each
and then all of their UTF-8. A list of what lies where travels beside them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from onnxd.runtime.shared_buffer import SharedBuffer
from onnxd.tensors import Array, Datatype, datatype_of

Entry = list[Any]
"""[name, datatype, shape, offset, bytes] of one tensor, as JSON."""

_ALIGNMENT: Final = 64
_LENGTH: Final = np.dtype(np.uint32)
_NOTHING: Final = np.empty(0, np.uint8)


def pack(arrays: Mapping[str, Array], buffer: SharedBuffer) -> tuple[list[Entry], int]:
    """Copies them in, once. Returns the list, and the offset behind the last.

    Raises MemoryError when they do not fit, UnicodeError for text that UTF-8 cannot hold.
    """
    entries: list[Entry] = []
    pieces: list[tuple[int, Array]] = []
    offset = 0
    for name, array in arrays.items():
        datatype = datatype_of(array)
        piece = _text_bytes(array) if datatype is Datatype.BYTES else _bytes_of(array)
        entries.append([name, datatype.value, list(array.shape), offset, piece.nbytes])
        pieces.append((offset, piece))
        offset = _aligned(offset + piece.nbytes)
    buffer.reserve(offset)
    for start, piece in pieces:
        if piece.nbytes:
            np.copyto(buffer.bytes_at(start, piece.nbytes), piece)
    return entries, offset


def unpack(entries: Sequence[Entry], buffer: SharedBuffer, *, copy: bool) -> dict[str, Array]:
    """The tensors of a list: views of the buffer, or copies that it may be written over under.

    Raises ValueError, KeyError or TypeError for a list that is not one of this buffer.
    """
    arrays: dict[str, Array] = {}
    for name, kind, shape, offset, length in entries:
        datatype = Datatype(kind)
        if any(size < 0 for size in shape):
            raise ValueError(f"a shape of {shape}")
        count = math.prod(shape)
        raw = buffer.bytes_at(offset, length) if length else _NOTHING
        if datatype is Datatype.BYTES:
            arrays[name] = _texts(raw, count).reshape(shape)
            continue
        if length != count * datatype.dtype.itemsize:
            raise ValueError(f"{length} bytes for {count} elements of {kind}")
        arrays[name] = (raw.copy() if copy else raw).view(datatype.dtype).reshape(shape)
    return arrays


def size_of(arrays: Mapping[str, Array]) -> int:
    """About how many bytes they are to copy."""
    return sum(array.nbytes for array in arrays.values())


def _bytes_of(array: Array) -> Array:
    return array.reshape(-1).view(np.uint8) if array.size else _NOTHING


def _text_bytes(array: Array) -> Array:
    texts = [text.encode() for text in array.reshape(-1).tolist()]
    lengths = np.fromiter((len(text) for text in texts), _LENGTH, len(texts))
    return np.frombuffer(lengths.tobytes() + b"".join(texts), np.uint8)


def _texts(raw: Array, count: int) -> Array:
    head = count * _LENGTH.itemsize
    if head > raw.nbytes:
        raise ValueError(f"{raw.nbytes} bytes for {count} texts")
    ends = np.cumsum(raw[:head].view(_LENGTH), dtype=np.int64).tolist()
    if (ends[-1] if ends else 0) != raw.nbytes - head:
        raise ValueError("the lengths of the texts are not theirs")
    body = raw[head:].tobytes()
    array = np.empty(count, object)
    start = 0
    for index, end in enumerate(ends):
        array[index] = body[start:end].decode()
        start = end
    return array


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT
