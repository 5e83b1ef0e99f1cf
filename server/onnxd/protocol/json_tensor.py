"""The `data` of a tensor in JSON: decoding is strict about types, encoding is exact and flat.

NumPy would convert "1.5", true and 1.9 without a word, so the types of the elements are looked at first.
"""

import math
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson

from onnxd.errors import MalformedPayload, TensorMismatch
from onnxd.protocol.binary import check_string_count, string_array
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.wording import show, show_shape
from onnxd.tensors import Array, Datatype

_PIECE_ELEMENTS: Final = 65536
"""The lock is held for a millisecond or two at a time."""
_HALVES: Final = (Datatype.FP16, Datatype.BF16)
_WORDING: Final[dict[type, str]] = {
    bool: "true or false",
    str: "a string",
    float: "a number",
    int: "an integer",
}


def _element_type(datatype: Datatype) -> type:
    if datatype is Datatype.BOOL:
        return bool
    if datatype is Datatype.BYTES:
        return str
    return float if datatype.is_float else int


_FORMS: Final = {datatype: (_element_type(datatype), datatype.dtype) for datatype in Datatype}
"""The type that orjson gives an element (for floats also int), and the dtype: one look-up of a slow Enum."""


def decode_json_tensor(
    name: str, datatype: Datatype, shape: list[int], count: int, data: object, limits: ProtocolLimits
) -> Array:
    """The tensor in a decoded `data` array, which is flat or nested exactly as `shape` says.

    `count` is the product of `shape`. Raises MalformedPayload for FP16 and BF16, which Triton does not take
    as JSON either, for ragged or wrongly nested data, and for elements of another type or out of range.
    """
    if datatype in _HALVES:
        raise MalformedPayload(
            f"input {show(name)}: {datatype.value} cannot be sent as JSON; send it as binary data "
            "('binary_data_size')"
        )
    if type(data) is not list:
        raise MalformedPayload(f"input {show(name)}: expected 'data' to be an array, got {show(data)}")
    if data and type(data[0]) is list:
        flat = _flatten(name, shape, data)
    elif len(data) == count:
        flat = data
    else:
        raise MalformedPayload(
            f"input {show(name)}: shape {show_shape(shape)} needs {count} elements, but 'data' has "
            f"{len(data)}"
        )
    expected, dtype = _FORMS[datatype]
    types = list(map(type, flat))
    # count() of the one type is twice as fast as a set of all; the set is for floats given as integers.
    if types.count(expected) != count and not (expected is float and set(types) <= {float, int}):
        raise _wrong_element(name, datatype, flat)
    if datatype is Datatype.BYTES:
        check_string_count(name, count, limits)
        return string_array(flat).reshape(shape)
    try:
        if datatype is Datatype.FP32:
            with np.errstate(over="raise"):
                return np.fromiter(flat, dtype, count).reshape(shape)
        return np.fromiter(flat, dtype, count).reshape(shape)
    except (OverflowError, FloatingPointError):
        raise _out_of_range(name, datatype, flat) from None


def _flatten(name: str, shape: list[int], data: list[Any]) -> list[Any]:
    level: list[Any] = [data]
    for axis, dim in enumerate(shape):
        for row in level:
            if type(row) is not list or len(row) != dim:
                got = f"an array of {len(row)}" if type(row) is list else show(row)
                raise MalformedPayload(
                    f"input {show(name)}: nested 'data' must follow shape {show_shape(shape)}: expected "
                    f"arrays of {dim} at level {axis + 1}, got {got}"
                )
        level = list(chain.from_iterable(level))
    return level


def _wrong_element(name: str, datatype: Datatype, flat: list[Any]) -> MalformedPayload:
    expected, _ = _FORMS[datatype]
    allowed = (float, int) if expected is float else (expected,)
    at, element = next((at, element) for at, element in enumerate(flat) if type(element) not in allowed)
    return MalformedPayload(
        f"input {show(name)}: expected each {datatype.value} in 'data' to be {_WORDING[expected]}, got "
        f"{show(element)} at element {at}"
    )


def _out_of_range(name: str, datatype: Datatype, flat: list[Any]) -> MalformedPayload:
    if datatype is Datatype.FP32:
        low, high = -float(np.finfo(np.float32).max), float(np.finfo(np.float32).max)
    else:
        low, high = int(np.iinfo(datatype.dtype).min), int(np.iinfo(datatype.dtype).max)
    # An infinity that was sent as one is not what overflowed.
    at, element = next(
        (at, element)
        for at, element in enumerate(flat)
        if not low <= element <= high and math.isfinite(element)
    )
    return MalformedPayload(
        f"input {show(name)}: expected each {datatype.value} in 'data' to be from {low} to {high}, got "
        f"{show(element)} at element {at}"
    )


def encode_json_tensor(name: str, array: Array) -> Any:
    """The flat `data` of an output, for orjson with OPT_SERIALIZE_NUMPY.

    FP32 is written as the shortest decimal that reads back as the same float32 (0.1, where Triton widens
    first and writes 0.10000000149011612): a client that reads a double and narrows it gets the same bits,
    from less than half the text. NaN and infinities are written as the tokens NaN, Infinity, -Infinity, as
    Triton does. Large arrays are written piece by piece, between which other threads run. Raises
    TensorMismatch for FP16 and BF16.
    """
    if array.size > _PIECE_ELEMENTS:
        flat = array.reshape(-1)
        starts = range(0, flat.size, _PIECE_ELEMENTS)
        pieces = (_piece(name, flat[start : start + _PIECE_ELEMENTS]) for start in starts)
        return orjson.Fragment(b"".join([b"[", b",".join(pieces), b"]"]))
    if array.dtype == np.object_:
        return array.reshape(-1).tolist()
    if array.dtype.kind in "fV":  # V is how NumPy sees ml_dtypes' bfloat16
        if array.dtype.itemsize == 2:
            raise TensorMismatch(refusal_of_halves(name))
        flat = np.ascontiguousarray(array).reshape(-1)
        return flat if np.isfinite(flat).all() else _encode_with_constants(flat)
    return np.ascontiguousarray(array).reshape(-1)


def _piece(name: str, flat: Array) -> bytes:
    return orjson.dumps(encode_json_tensor(name, flat), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]


def refusal_of_halves(name: str) -> str:
    """Why FP16 and BF16 are not answered as JSON, and what to do."""
    return (
        f"output {show(name)}: FP16 and BF16 cannot be answered as JSON; ask for binary data with the "
        "output's parameter 'binary_data': true"
    )


def _encode_with_constants(flat: Array) -> orjson.Fragment:
    """orjson writes null for each of the three; in a flat array of numbers nothing else is null."""
    pieces = orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY).split(b"null")
    joined = [pieces[0]]
    for value, piece in zip(flat[~np.isfinite(flat)].tolist(), pieces[1:], strict=True):
        joined.append(b"NaN" if value != value else b"Infinity" if value > 0 else b"-Infinity")
        joined.append(piece)
    return orjson.Fragment(b"".join(joined))
