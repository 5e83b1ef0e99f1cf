"""Made-up inputs, for the runs before a model is READY."""

import math
import sys
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from onnxd.tensors import Array, Datatype


class Blank(NamedTuple):
    """A tensor that says nothing."""

    datatype: Datatype
    shape: tuple[int, ...]
    """Complete, with the batch dimension; -1 counts as 1."""
    random: bool = False
    """Small numbers instead of zeros. Text is empty either way."""
    values: tuple[int, ...] = ()
    """What it holds instead, row by row, again from the start when they are at their end."""

    def array(self) -> Array:
        """The same each time, so that a run which fails fails again. Raises MemoryError."""
        sizes = tuple(1 if size < 0 else size for size in self.shape)
        if math.prod(max(size, 1) for size in sizes) * self.datatype.dtype.itemsize > sys.maxsize:
            # NumPy calls it a ValueError, and counts as if no dimension were 0.
            raise MemoryError(f"no memory holds a tensor of shape {list(sizes)}")
        if self.datatype is Datatype.BYTES:
            return np.full(sizes, "", object)
        if self.values:
            return np.resize(np.array(self.values).astype(self.datatype.dtype), sizes)
        if not self.random:
            return np.zeros(sizes, self.datatype.dtype)
        random = np.random.default_rng(math.prod(sizes))
        if self.datatype.is_float:
            return random.random(sizes, np.float32).astype(self.datatype.dtype)
        top = 2 if self.datatype is Datatype.BOOL else 128
        return random.integers(0, top, sizes).astype(self.datatype.dtype)


WarmupRun = Mapping[str, Blank]
"""The inputs of one run."""
