"""The array types of the simulation. State is whole numbers throughout, so that every platform agrees."""

from typing import Any

import numpy as np
import numpy.typing as npt

TinyArray = npt.NDArray[np.int8]
IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
LongArray = npt.NDArray[np.int64]
WordArray = npt.NDArray[np.uint64]
AnyArray = npt.NDArray[Any]
