"""One node of a graph as its rule sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxd.runtime.rowwise.values import Counts, Dim, Mixed, N, Shape, Tensor, Unproven, Value, across
from onnxd.tensors import Array

if TYPE_CHECKING:
    import onnx


class Operation:
    """A node, its inputs and its attributes. What a rule asks for and does not get ends it with Unproven."""

    def __init__(self, node: onnx.NodeProto, inputs: Sequence[Value | None], opset: int) -> None:
        """`inputs`: None for an optional one that is left out. `opset`: of the node's domain."""
        self.kind: str = node.op_type
        self.opset = opset
        self.outputs = len(node.output)
        self._inputs = inputs
        self._attributes = {attribute.name: attribute for attribute in node.attribute}

    def given(self, index: int) -> bool:
        return index < len(self._inputs) and self._inputs[index] is not None

    @property
    def count(self) -> int:
        """Inputs, those left out in between included."""
        return len(self._inputs)

    def tensor(self, index: int) -> Tensor:
        """An input that does not depend on the number of rows."""
        value = self._inputs[index] if index < len(self._inputs) else None
        if isinstance(value, Tensor):
            return value
        if isinstance(value, Counts):
            if N in value.elements:
                raise Unproven("calculates with the number of rows")
            known = [size for size in value.elements if isinstance(size, int)]
            full = len(known) == len(value.elements)
            array = np.array(known[0] if value.scalar else known, np.int64) if full else None
            return Tensor(() if value.scalar else (len(value.elements),), array)
        raise Unproven(value.why if isinstance(value, Mixed) else "lacks an input")

    def shape(self, index: int) -> Shape:
        """Of an input whose rank is known."""
        shape = self.tensor(index).shape
        if shape is None:
            raise Unproven("has an input of unknown rank")
        return shape

    def fixed(self, index: int) -> Tensor:
        """An input that does not depend on the rows."""
        tensor = self.tensor(index)
        if tensor.by_row:
            raise Unproven("takes for all rows what depends on each")
        return tensor

    def fixed_from(self, index: int) -> None:
        """All inputs from this one on must not depend on the rows."""
        for at in range(index, self.count):
            if self.given(at):
                self.fixed(at)

    def constant(self, index: int) -> Array:
        """An input whose value is known."""
        value = self.fixed(index).value
        if value is None:
            raise Unproven("has a parameter that is not constant")
        return value

    def integers(self, index: int) -> tuple[int, ...]:
        return tuple(int(item) for item in np.atleast_1d(self.constant(index)).ravel())

    def sizes(self, index: int) -> Shape:
        """An input that says sizes."""
        value = self._inputs[index] if index < len(self._inputs) else None
        if isinstance(value, Counts):
            return value.elements
        tensor = self.fixed(index)
        if tensor.value is not None:
            return self.integers(index)
        if tensor.shape is not None and len(tensor.shape) == 1 and isinstance(tensor.shape[0], int):
            return (None,) * tensor.shape[0]
        raise Unproven("has a shape that is not known")

    def counts(self, index: int) -> Counts | None:
        """An input that says sizes, if it is one by itself."""
        value = self._inputs[index]
        if isinstance(value, Counts):
            return value
        if isinstance(value, Tensor) and value.value is not None and value.value.dtype.kind in "iu":
            if value.value.ndim > 1:
                return None
            return Counts(tuple(int(item) for item in value.value.ravel()), value.value.ndim == 0)
        return None

    def integer(self, name: str, default: int) -> int:
        return int(self._attributes[name].i) if name in self._attributes else default

    def text(self, name: str, default: str) -> str:
        return self._attributes[name].s.decode() if name in self._attributes else default

    def integer_list(self, name: str) -> tuple[int, ...] | None:
        return tuple(self._attributes[name].ints) if name in self._attributes else None

    def attribute(self, name: str) -> Any:
        return self._attributes.get(name)

    def axes(self, index: int, rank: int) -> tuple[int, ...] | None:
        """Where newer opsets have an input, older ones an attribute; counted from the front. None = not
        given."""
        found = self.integers(index) if self.given(index) else self.integer_list("axes")
        return None if found is None else tuple(positive(axis, rank) for axis in found)


Rule = Callable[[Operation], Sequence[Value]]
"""What an operator makes of its inputs, an entry for each output. Raises Unproven."""


def positive(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    if not -rank <= axis < rank:
        raise Unproven("names an axis that its input does not have")
    return axis % rank


def row_axis(shape: Shape) -> int:
    """Where the rows lie; beyond the last axis when there are none."""
    return shape.index(N) if N in shape else len(shape)


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape of what an elementwise operator makes of these. Raises Unproven where rows would meet."""
    rank = max((len(shape) for shape in shapes), default=0)
    result: list[Dim] = []
    for axis in range(rank):
        sizes = [shape[axis - rank + len(shape)] for shape in shapes if axis >= rank - len(shape)]
        if N not in sizes:
            # One that is not known is 1, or the same as the others.
            known = [size for size in sizes if isinstance(size, int)]
            result.append(None if None in sizes and set(known) <= {1} else max(known))
        elif N in result:
            raise across("brings rows together with other rows")
        elif any(size not in (N, 1) for size in sizes):
            raise Unproven("combines rows with values by their place in the batch")
        else:
            result.append(N)
    return tuple(result)
