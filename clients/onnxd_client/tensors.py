"""Tensors as the protocol carries them: little-endian, row-major, BYTES with 4-byte lengths."""

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from onnxd_client import bfloat16
from onnxd_client.errors import InvalidRequest, ServerFault

Array = NDArray[Any]

NUMPY: Final[Mapping[str, np.dtype[Any]]] = MappingProxyType(
    {
        "BOOL": np.dtype(np.bool_),
        "INT8": np.dtype("<i1"),
        "INT16": np.dtype("<i2"),
        "INT32": np.dtype("<i4"),
        "INT64": np.dtype("<i8"),
        "UINT8": np.dtype("<u1"),
        "UINT16": np.dtype("<u2"),
        "UINT32": np.dtype("<u4"),
        "UINT64": np.dtype("<u8"),
        "FP16": np.dtype("<f2"),
        "FP32": np.dtype("<f4"),
        "FP64": np.dtype("<f8"),
    }
)
"""The datatypes whose bytes NumPy itself can read. BF16 and BYTES are handled apart."""

_DATATYPES: Final = {dtype: datatype for datatype, dtype in NUMPY.items()}
_LENGTH: Final = struct.Struct("<I")
_TEXT_KINDS: Final = "OUST"  # object, str, bytes, and NumPy's variable-width string


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input, ready for either wire. `data` may be a view of the caller's array: use it at once."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes | memoryview


def encode(name: str, array: Array) -> Tensor:
    """The array under the datatype that its dtype names; raises InvalidRequest if there is none."""
    if array.dtype.kind in _TEXT_KINDS:
        return Tensor(name, "BYTES", array.shape, pack_bytes(name, array.astype(object).reshape(-1).tolist()))
    if array.dtype == bfloat16.DTYPE:
        return encode_bits(name, array.view(np.uint16))
    dtype = array.dtype.newbyteorder("<")
    datatype = _DATATYPES.get(dtype)
    if datatype is None:
        raise InvalidRequest(
            f"input {name!r}: an array of {array.dtype} has no datatype in the protocol, "
            f"expected one of {', '.join(str(known) for known in _DATATYPES)}, text or bytes; "
            "convert it with astype()"
        )
    return Tensor(name, datatype, array.shape, _raw(array.astype(dtype, copy=False)))


def encode_bits(name: str, bits: NDArray[np.uint16]) -> Tensor:
    """A BF16 tensor from the upper halves of its values."""
    return Tensor(name, "BF16", bits.shape, _raw(bits.astype("<u2", copy=False)))


def _raw(array: Array) -> bytes | memoryview:
    if array.size == 0:
        return b""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def pack_bytes(name: str, elements: Iterable[object]) -> bytes:
    """Each element's length as uint32, then its bytes; text becomes UTF-8."""
    parts: list[bytes] = []
    for element in elements:
        if isinstance(element, str):
            try:
                data = element.encode()
            except UnicodeEncodeError as error:
                raise InvalidRequest(
                    f"input {name!r}: {element!r} cannot be written as UTF-8: {error}"
                ) from error
        elif isinstance(element, bytes):
            data = element
        else:
            raise InvalidRequest(
                f"input {name!r}: expected text or bytes in every element, got {type(element).__name__}"
            )
        parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)


def unpack_bytes(name: str, data: bytes | memoryview, count: int) -> list[bytes]:
    """The elements of a BYTES tensor; raises ServerFault unless exactly `count` fill the data."""
    view = memoryview(data)
    elements: list[bytes] = []
    position = 0
    while position < len(view):
        start = position + _LENGTH.size
        if start > len(view):
            raise ServerFault(f"output {name!r}: the answer ends inside an element's length")
        (length,) = _LENGTH.unpack_from(view, position)
        position = start + length
        if position > len(view):
            raise ServerFault(
                f"output {name!r}: an element of {length} bytes runs past the end of the answer"
            )
        elements.append(bytes(view[start:position]))
    if len(elements) != count:
        raise ServerFault(f"output {name!r}: the shape has {count} elements, the answer {len(elements)}")
    return elements


def decode(name: str, datatype: str, shape: tuple[int, ...], data: bytes | memoryview) -> Array:
    """A new array, aligned and writable; BYTES is an object array of bytes. Raises ServerFault.

    The copy is deliberate: a view would be read-only, unaligned behind a JSON header, and would keep the
    whole answer alive.
    """
    count = math.prod(shape)
    if datatype == "BYTES":
        return objects(unpack_bytes(name, data, count), shape)
    dtype = np.dtype("<u2") if datatype == "BF16" else NUMPY.get(datatype)
    if dtype is None:
        raise ServerFault(f"output {name!r}: the server answered with the unknown datatype {datatype!r}")
    if len(data) != count * dtype.itemsize:
        raise ServerFault(
            f"output {name!r}: {datatype}{list(shape)} takes {count * dtype.itemsize} bytes, "
            f"the answer has {len(data)}"
        )
    flat = np.frombuffer(data, dtype=dtype) if count else np.empty(0, dtype)
    if datatype == "BF16":
        return bfloat16.from_bits(flat).reshape(shape)
    return flat.astype(dtype.newbyteorder("="), copy=True).reshape(shape)


def from_values(name: str, datatype: str, shape: tuple[int, ...], values: object) -> Array:
    """An output that came as a list of values, nested or flat, in row-major order. Raises ServerFault."""
    try:
        if datatype == "BYTES":
            leaves = [_to_bytes(leaf) for leaf in np.asarray(values, dtype=object).reshape(-1).tolist()]
            if len(leaves) != math.prod(shape):
                raise ValueError(f"{len(leaves)} elements")
            return objects(leaves, shape)
        if datatype == "BF16":
            bits = bfloat16.to_bits(np.asarray(values, dtype=np.float32))
            return bfloat16.from_bits(bits).reshape(shape)
        return np.asarray(values, dtype=NUMPY[datatype].newbyteorder("=")).reshape(shape)
    except KeyError:
        raise ServerFault(
            f"output {name!r}: the server answered with the unknown datatype {datatype!r}"
        ) from None
    except (ValueError, TypeError, OverflowError) as error:
        raise ServerFault(
            f"output {name!r}: the values sent are not {datatype}{list(shape)}: {error}"
        ) from error


def objects(elements: list[bytes], shape: tuple[int, ...]) -> Array:
    """An object array. NumPy's own bytes type drops trailing zero bytes, so it is never used."""
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array.reshape(shape)


def _to_bytes(leaf: object) -> bytes:
    if isinstance(leaf, str):
        return leaf.encode()
    if isinstance(leaf, bytes):
        return leaf
    raise TypeError(f"expected text, got {type(leaf).__name__}")
