"""What the analysis knows of a value in a graph, whatever the rows are and however many.

    Tensor     the same for every batch, or one slice for each row: the slice depends on that row alone
    Counts     integers that say sizes: the number of rows among them, as it stands
    Mixed      anything else, and why

Nothing here is a guess: what is not known to be one of the first two is Mixed.
"""

import enum
from dataclasses import dataclass
from typing import Final, Literal

from onnxd.tensors import Array


class Rows(enum.Enum):
    """In a shape: the axis along which the rows lie. Among counts: their number."""

    N = "rows"


N: Final = Rows.N
Dim = int | None | Literal[Rows.N]
"""A size; None = not known, but no matter of the rows."""
Shape = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Fixed, or by row when N is in its shape, which it is once at most."""

    shape: Shape | None
    """None: the rank is not known either; only of fixed ones."""
    value: Array | None = None
    """Of fixed ones that are small."""

    @property
    def by_row(self) -> bool:
        return self.shape is not None and N in self.shape


@dataclass(frozen=True, slots=True)
class Counts:
    """A vector of integers, or a scalar."""

    elements: Shape
    scalar: bool = False


@dataclass(frozen=True, slots=True)
class Mixed:
    """Rows may meet in it."""

    why: str
    across: bool = False
    """They are known to: an operator works along the rows, or draws random numbers. Otherwise it is only not
    known that they do not."""


Value = Tensor | Counts | Mixed


class Unproven(Exception):
    """An operator's outputs are Mixed."""

    def __init__(self, why: str, *, across: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.across = across


def across(what: str) -> Unproven:
    """For an operator that works along the rows."""
    return Unproven(what, across=True)


def product(sizes: Shape) -> int | None:
    """Elements of a shape without rows; None where a size is not known."""
    total = 1
    for size in sizes:
        if not isinstance(size, int):
            return None
        total *= size
    return total
