"""A tensor that clients and the graph see in different shapes: the same elements, other dimensions.

Free dimensions (-1) of the two shapes belong together in their order, and what is fixed between them must
hold as many elements on both sides: [-1,3] is [-1,1,3], never [3,-1].
"""

import math
from collections.abc import Sequence

import numpy as np

from onnxd.errors import ExecutionFailed
from onnxd.protocol.wording import show, show_shape
from onnxd.tensors import Array, TensorSpec

Shape = tuple[int, ...]


def reshape_problem(shape: Sequence[int], other: Sequence[int]) -> str:
    """Why two shapes cannot be the same tensor; empty if they can."""
    ours, theirs = _between_free(shape), _between_free(other)
    if len(ours) != len(theirs):
        free, others = len(ours) - 1, len(theirs) - 1
        return f"{show_shape(shape)} has {free} free dimensions, {show_shape(other)} has {others}"
    if ours != theirs:
        where = " between their free dimensions" if len(ours) > 1 else ""
        return (
            f"{show_shape(shape)} and {show_shape(other)} differ in the number of elements{where}: "
            f"{', '.join(map(str, ours))} and {', '.join(map(str, theirs))}"
        )
    return ""


def reshaped(sizes: Sequence[int], shape: Sequence[int], other: Sequence[int]) -> Shape:
    """What `sizes`, which fit `shape`, become in `other`; the two shapes are without a reshape_problem."""
    free = (size for size, stated in zip(sizes, shape, strict=True) if stated == -1)
    return tuple(next(free) if stated == -1 else stated for stated in other)


def as_graph_sees(array: Array, tensor: TensorSpec, *, batches: bool) -> Array:
    """A view of an input that has passed validation."""
    return _view(array, tensor.shape, tensor.graph_shape, int(batches))


def as_clients_see(array: Array, tensor: TensorSpec, *, batches: bool) -> Array:
    """A view of an output. Raises ExecutionFailed when the graph gave another shape than it declares."""
    item = array.shape[int(batches) :]
    expected = tensor.graph_shape
    if len(item) != len(expected) or any(
        want not in (-1, size) for size, want in zip(item, expected, strict=True)
    ):
        raise ExecutionFailed(
            f"output {show(tensor.name)} has shape {show_shape(item)}, but its config reshapes "
            f"{show_shape(expected)}"
        )
    return _view(array, expected, tensor.shape, int(batches))


def _view(array: Array, shape: Shape, other: Shape, lead: int) -> Array:
    sizes = (*array.shape[:lead], *reshaped(array.shape[lead:], shape, other))
    return np.reshape(array, sizes)


def _between_free(shape: Sequence[int]) -> list[int]:
    """The number of elements in each stretch between free dimensions."""
    stretches: list[list[int]] = [[]]
    for size in shape:
        if size == -1:
            stretches.append([])
        else:
            stretches[-1].append(size)
    return [math.prod(stretch) for stretch in stretches]
