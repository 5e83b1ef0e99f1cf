"""How far two answers for the same row are apart, and how far they may be.

Differences are relative to the largest element of the row's answer. Two runs of equally many rows do the
same arithmetic, and so a row in the same place must come out almost to the bit, whoever is beside it. With
another number of rows a runtime may choose another way to the same result, and so more is allowed.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from onnxd.tensors import Array, Datatype

_NOISE: Final = 1e-4
"""Of the largest answer to any row: what is this small beside it may be rounding alone."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Relative differences that are taken for rounding."""

    company: float
    """Between runs of equally many rows."""
    size: float
    """Between runs of a different number of rows."""
    single: float
    """Between a row alone and twice the same row, where all batches agree with the latter."""


EXACT: Final = Tolerance(0.0, 0.0, 0.0)
TOLERANCES: Final = {
    Datatype.FP64: Tolerance(1e-9, 1e-6, 1e-4),
    Datatype.FP32: Tolerance(1e-5, 1e-3, 5e-2),
    Datatype.FP16: Tolerance(2e-3, 2e-2, 1e-1),
    Datatype.BF16: Tolerance(1e-2, 5e-2, 2e-1),
}
"""Others are EXACT."""


def tolerance(datatype: Datatype) -> Tolerance:
    return TOLERANCES.get(datatype, EXACT)


def difference(one: Array, other: Array, largest: float) -> float:
    """0 = equal; infinite = of another shape or kind, or not finite in the same places; for what is not
    float, 0 or infinite. `largest`: the size of an answer's largest element, over all rows."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return math.inf
    if one.dtype.kind in "OUSbiu":
        return 0.0 if np.array_equal(one, other) else math.inf
    left, right = one.astype(np.float64), other.astype(np.float64)
    finite = np.isfinite(left)
    if not np.array_equal(finite, np.isfinite(right)):
        return math.inf
    if not np.array_equal(left[~finite], right[~finite], equal_nan=True):
        return math.inf
    if not finite.any():
        return 0.0
    apart = float(np.max(np.abs(left[finite] - right[finite])))
    if apart == 0.0:
        return 0.0
    size = max(magnitude(left), magnitude(right), _NOISE * largest)
    return apart / size if math.isfinite(apart / size) else math.inf


def magnitude(answer: Array) -> float:
    """The size of its largest finite element; 0 where there is none."""
    if answer.dtype.kind in "OUSb" or not answer.size:
        return 0.0
    values = np.abs(answer.astype(np.float64))
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else 0.0


def says_something(answer: Array) -> bool:
    """Whether there is anything in it that could differ."""
    return bool(answer.size) and (
        answer.dtype.kind in "OUSbiu" or bool(np.isfinite(answer.astype(np.float64)).any())
    )
