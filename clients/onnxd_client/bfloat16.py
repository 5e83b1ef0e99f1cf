"""BF16 with ml_dtypes where it is installed, and as float32 where it is not.

BF16 is the upper half of a float32, so both ways are shifts; ml_dtypes only gives the array its own dtype.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    import ml_dtypes
except ImportError:
    DTYPE: np.dtype[Any] | None = None
else:
    DTYPE = np.dtype(ml_dtypes.bfloat16)
"""The dtype of a BF16 array, or None without ml_dtypes."""


def from_bits(bits: NDArray[np.uint16], dtype: np.dtype[Any] | None = DTYPE) -> NDArray[Any]:
    """A new array: of `dtype`, or of float32 (exact) when there is none."""
    if dtype is not None:
        return bits.astype(np.uint16).view(dtype)
    return (bits.astype(np.uint32) << 16).view(np.float32)


def to_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Rounds to the nearest, ties to even; a NaN stays a NaN."""
    # A view of a zero-dimensional array is fine, but its arithmetic gives scalars: keep one dimension inside.
    wide = np.ascontiguousarray(values, dtype=np.float32).reshape(-1).view(np.uint32)
    rounded = (wide.astype(np.uint64) + 0x7FFF + ((wide >> 16) & 1)) >> 16
    quiet_nan = (wide >> 16) | 0x40
    return (
        np.where(np.isnan(values).reshape(-1), quiet_nan, rounded).astype(np.uint16).reshape(np.shape(values))
    )
