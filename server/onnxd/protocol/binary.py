"""Tensors as raw bytes: little-endian, row-major, without padding; the form of both wires.

BOOL is one byte, 0 or 1. FP16 and BF16 are their two bytes. BYTES is, for each element, a little-endian
uint32 length and that many bytes. Only little-endian hosts are supported, as ONNX Runtime's wheels are.
"""

import math
import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from onnxd.errors import MalformedPayload
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.wording import show, show_shape
from onnxd.tensors import Array, Datatype

_LENGTH: Final = struct.Struct("<I")
_DEFAULT_LIMITS: Final = ProtocolLimits()
_COPIED_BYTES: Final = 4096
"""Up to this size a copy costs a fraction of making a view."""


def decode_tensor(
    name: str,
    datatype: Datatype,
    shape: Sequence[int],
    data: bytes | memoryview,
    limits: ProtocolLimits = _DEFAULT_LIMITS,
) -> Array:
    """The tensor in `data`, as a read-only view over it where its alignment allows that.

    `shape` is already checked (count_elements). BYTES become an object array of str. Raises
    MalformedPayload when the number of bytes is not what the shape needs, a BOOL is neither 0 nor 1, or an
    element of BYTES is cut short or is not UTF-8 (ONNX's strings are text).
    """
    count = math.prod(shape)
    if datatype is Datatype.BYTES:
        return _decode_strings(name, shape, count, data, limits)
    dtype = datatype.dtype
    expected = count * dtype.itemsize
    if len(data) != expected:
        raise MalformedPayload(
            f"input {show(name)}: expected {expected} bytes for {datatype.value} of shape "
            f"{show_shape(shape)}, got {len(data)}"
        )
    array: Array
    if datatype is Datatype.BOOL:
        raw = np.frombuffer(data, np.uint8)
        if count and raw.max() > 1:
            at = int(np.argmax(raw > 1))
            raise MalformedPayload(
                f"input {show(name)}: expected each BOOL to be a byte of 0 or 1, got {raw[at]} at element "
                f"{at}"
            )
        array = raw.view(np.bool_)
    else:
        array = np.frombuffer(data, dtype)
        if not array.flags.aligned:
            # The tail starts wherever the JSON ends. x86 forgives that, but a compiler may vectorise a loop
            # by peeling it to an aligned address that odd pointers never reach: undefined, so copy.
            array = array.copy()
    return array.reshape(shape)


def _decode_strings(
    name: str, shape: Sequence[int], count: int, data: bytes | memoryview, limits: ProtocolLimits
) -> Array:
    check_string_count(name, count, limits)
    text = bytes(data)
    size = len(text)
    if 4 * count > size:
        raise MalformedPayload(
            f"input {show(name)}: expected {count} BYTES elements for shape {show_shape(shape)}, each a "
            f"length of 4 bytes and its content, got {size} bytes in all"
        )
    # A slice of bytes is the fastest way that plain Python has: half the time of a memoryview's.
    unpack = _LENGTH.unpack_from
    elements: list[str] = []
    append = elements.append
    at = 0
    try:
        for _ in range(count):
            (length,) = unpack(text, at)
            at += 4
            end = at + length
            if end > size:
                raise MalformedPayload(
                    f"input {show(name)}: BYTES element {len(elements)} has a length of {length}, but only "
                    f"{size - at} bytes follow"
                )
            append(text[at:end].decode())
            at = end
    except struct.error:
        raise MalformedPayload(
            f"input {show(name)}: expected {count} BYTES elements for shape {show_shape(shape)}, but the "
            f"data ends after {len(elements)}"
        ) from None
    except UnicodeDecodeError as error:
        raise MalformedPayload(
            f"input {show(name)}: BYTES element {len(elements)} is not UTF-8 (byte {error.start} of it), "
            "and a string tensor of ONNX holds text only"
        ) from None
    if at != size:
        raise MalformedPayload(
            f"input {show(name)}: expected {count} BYTES elements for shape {show_shape(shape)}, but "
            f"{size - at} bytes follow the last one"
        )
    return string_array(elements).reshape(shape)


def check_string_count(name: str, count: int, limits: ProtocolLimits) -> None:
    """Raises MalformedPayload when a BYTES tensor would have more elements than allowed."""
    if count > limits.max_bytes_elements:
        raise MalformedPayload(
            f"input {show(name)}: expected at most {limits.max_bytes_elements} BYTES elements, got {count}"
        )


def string_array(elements: list[str]) -> Array:
    """A flat object array; np.array(elements) would look into the strings and choose a U dtype."""
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return array


def encode_tensor(array: Array) -> bytes | memoryview:
    """The bytes of a tensor: a view over the array where it is contiguous, except for BYTES."""
    if array.dtype == np.object_:
        return _encode_strings(array)
    if array.nbytes <= _COPIED_BYTES or not array.flags.c_contiguous:
        return array.tobytes()
    return array.reshape(-1).view(np.uint8).data


def _encode_strings(array: Array) -> bytes:
    pack = _LENGTH.pack
    parts: list[bytes] = []
    append = parts.append
    for element in array.reshape(-1).tolist():
        content = element.encode()
        append(pack(len(content)))
        append(content)
    return b"".join(parts)
