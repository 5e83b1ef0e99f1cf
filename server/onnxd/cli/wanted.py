"""What a model's input wants, and fitting what the user has to it. Pure."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxd.tensors import Array, Datatype


class Unfit(ValueError):
    """The value cannot be made into the model's input; the text says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One input of the model as the user thinks of it: a single row."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    """Of one row, without the batch dimension; -1 = any length."""
    batches: bool
    """Whether rows are stacked in front of it."""

    def __str__(self) -> str:
        rows = "rows of " if self.batches else ""
        return f"input '{self.name}' takes {rows}{self.datatype.value} {list(self.shape)}"

    def fit(self, value: object) -> Array:
        """An array, or nested lists of plain values, as one request's tensor.

        Kinds of numbers are converted where no fraction is lost. A single row gets its batch dimension (or a
        first dimension of 1), and a row of the right size but another shape is reshaped. Raises Unfit.
        """
        array = self._converted(value)
        shape = (-1, *self.shape) if self.batches else self.shape
        for candidate in (array, array[np.newaxis]):
            if _matches(candidate.shape, shape):
                return candidate
        if -1 not in self.shape and array.size == math.prod(self.shape):
            return array.reshape((1, *self.shape) if self.batches else self.shape)
        raise Unfit(f"{self}, which {_described(array)} does not fit")

    def _converted(self, value: object) -> Array:
        if self.datatype is Datatype.BYTES:
            return self._text(value)
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise Unfit(f"{self}; the lists that came are not all of one length") from error
        if not np.can_cast(array.dtype, self.datatype.dtype, "same_kind") and array.size:
            whole = array.dtype.kind in "iu" and self.datatype.is_integer
            if not (whole or (array.dtype.kind in "iuf" and self.datatype.is_float)):
                raise Unfit(f"{self}, and what came is {_kind(array)}")
        with np.errstate(over="ignore"):
            converted = array.astype(self.datatype.dtype)
        if self.datatype.is_integer and array.size and not np.array_equal(converted, array):
            raise Unfit(f"{self}, and what came has numbers outside its range")
        return converted

    def _text(self, value: object) -> Array:
        array: np.ndarray[Any, Any] = np.asarray(value)
        if array.dtype.kind not in "UOT" or not all(isinstance(item, str) for item in array.ravel().tolist()):
            raise Unfit(f"{self}, which is text, and what came is {_kind(array)}")
        return array.astype(object)


def _matches(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        expected in (-1, length) for length, expected in zip(shape, wanted, strict=True)
    )


def _kind(array: Array) -> str:
    kinds = {
        "b": "truth values",
        "i": "integers",
        "u": "integers",
        "f": "numbers with fractions",
        "U": "text",
    }
    return kinds.get(array.dtype.kind, "something else")


def _described(array: Array) -> str:
    return "a single value" if array.ndim == 0 else f"an array of shape {list(array.shape)}"
