"""Shapes as they come off the wire: checked with Python's integers before anything is allocated."""

from collections.abc import Sequence
from typing import Final

from onnxd.errors import MalformedPayload
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.wording import show, show_shape

_MAX_DIM: Final = 2**31 - 1
_MAX_ELEMENTS: Final = 2**48
"""Far beyond any body, and times eight bytes still far inside NumPy's 64 bits."""


def count_elements(name: str, shape: Sequence[object], limits: ProtocolLimits) -> int:
    """The elements that an input of this shape has; 1 for a scalar.

    Raises MalformedPayload unless each dimension is an integer of 0 to 2**31 - 1 (not true, not 2.0), the
    rank is within bounds, and the product is too.
    """
    if len(shape) > limits.max_rank:
        raise MalformedPayload(
            f"input {show(name)}: expected a shape of at most {limits.max_rank} dimensions, got {len(shape)}"
        )
    count = 1
    span = 1  # as count, but a 0 does not hide what stands beside it: NumPy multiplies the rest as well
    for dim in shape:
        if type(dim) is not int or not 0 <= dim <= _MAX_DIM:
            raise MalformedPayload(
                f"input {show(name)}: expected each dimension of 'shape' to be an integer from 0 to "
                f"{_MAX_DIM}, got {show_shape(shape)}"
            )
        count *= dim
        span *= dim or 1
    if span > _MAX_ELEMENTS:
        raise MalformedPayload(
            f"input {show(name)}: shape {show_shape(shape)} has more elements than any request can hold"
        )
    return count
