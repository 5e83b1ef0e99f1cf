"""What a caller may pass as inputs, and how it becomes tensors."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from onnxd_client import bfloat16, tensors
from onnxd_client.errors import InvalidRequest
from onnxd_client.results import ModelMetadata
from onnxd_client.tensors import NUMPY, Array, Tensor

Inputs: TypeAlias = ArrayLike | Mapping[str, ArrayLike]
"""Values by the names of inputs, or the value alone for a model with one input.

A value is an array (sent under its own dtype), text or bytes or a list of them (BYTES), or plain Python
numbers (converted to the datatype that the model's metadata names).
"""

# What a list may hold, by NumPy's kinds, for the kind that is wanted.
_KINDS = {"b": "b", "i": "biu", "u": "biu", "f": "biuf"}
_KIND_NAMES = {"f": "fractions", "i": "integers", "u": "integers", "b": "truth values", "U": "text"}


def needs_metadata(inputs: Inputs) -> bool:
    """Whether the model must be asked first: for an input's name, or the datatype of plain numbers."""
    if not isinstance(inputs, Mapping):
        return True
    return any(not _is_array(value) and not _is_text(value) for value in inputs.values())


def encode_inputs(inputs: Inputs, metadata: ModelMetadata | None) -> tuple[Tensor, ...]:
    """Raises InvalidRequest. `metadata` may be None unless needs_metadata(inputs)."""
    named = inputs if isinstance(inputs, Mapping) else {_only_input(metadata): inputs}
    return tuple(_encode(name, value, metadata) for name, value in named.items())


def _encode(name: str, value: ArrayLike, metadata: ModelMetadata | None) -> Tensor:
    if _is_array(value):
        return tensors.encode(name, np.asarray(value))
    if _is_text(value):
        return tensors.encode(name, _array(name, value, np.dtype(object), "BYTES"))
    datatype = _datatype(name, metadata)
    if datatype == "BYTES":
        return tensors.encode(name, _array(name, value, np.dtype(object), "BYTES"))
    if datatype == "BF16":
        return tensors.encode_bits(name, bfloat16.to_bits(_array(name, value, NUMPY["FP32"], datatype)))
    dtype = NUMPY.get(datatype)
    if dtype is None:
        raise InvalidRequest(f"input {name!r}: the model's datatype {datatype!r} is not known to this client")
    return tensors.encode(name, _array(name, value, dtype, datatype))


def _array(name: str, value: object, dtype: np.dtype[Any], datatype: str) -> Array:
    """Plain Python values as an array, refusing what would change them silently."""
    try:
        with np.errstate(over="raise"):
            array: Array = np.asarray(value, dtype=dtype)
        if array.size and dtype.kind != "O":
            # NumPy would cut 1.5 to 1, read text as numbers, and make NaN of None and truth of any number.
            natural = np.asarray(value)
            if natural.dtype.kind not in _KINDS[dtype.kind]:
                raise InvalidRequest(
                    f"input {name!r}: expected values of {datatype}, got {_kind(natural)}; "
                    "pass an array of the dtype you mean"
                )
    except (ValueError, TypeError, OverflowError, FloatingPointError) as error:
        raise InvalidRequest(
            f"input {name!r}: these values do not make a tensor of {datatype}: {error}"
        ) from error
    return array


def _kind(array: Array) -> str:
    return _KIND_NAMES.get(array.dtype.kind, f"values of Python's own types ({array.dtype})")


def _is_array(value: object) -> bool:
    return hasattr(value, "__array__")


def _is_text(value: object) -> bool:
    """Whether the first leaf is text or bytes; NumPy looks at all of them later."""
    while isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value):
        value = value[0]
    return isinstance(value, str | bytes)


def _only_input(metadata: ModelMetadata | None) -> str:
    names = [tensor.name for tensor in metadata.inputs] if metadata else []
    if len(names) != 1:
        raise InvalidRequest(
            f"model {metadata.name if metadata else ''!r} has {len(names)} inputs "
            f"({', '.join(names)}): pass a mapping of name to array"
        )
    return names[0]


def _datatype(name: str, metadata: ModelMetadata | None) -> str:
    for tensor in metadata.inputs if metadata else ():
        if tensor.name == name:
            return tensor.datatype
    known = ", ".join(repr(tensor.name) for tensor in metadata.inputs) if metadata else ""
    raise InvalidRequest(
        f"model {metadata.name if metadata else ''!r} has no input {name!r}, its inputs are {known or 'none'}"
    )
