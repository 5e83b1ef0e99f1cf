"""Requests of different size in one run: padded up to the next bucket, and their answers cut back."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from onnxd.errors import ExecutionFailed, TensorMismatch
from onnxd.messages import InferRequest
from onnxd.scheduler.batch import Rows
from onnxd.scheduler.item import BucketKey, Item
from onnxd.tensors import Array, Datatype, DynamicAxis, ModelSpec, TensorSpec

CountPadding = Callable[[int, int], None]
"""Told of each run: elements of its inputs that have a dynamic axis, and how many of them are padding."""
Sizes = Mapping[str, int]
"""By dynamic axis."""
Places = tuple[tuple[int, str], ...]
"""Which dimensions of an array, its rows included, are dynamic axes."""
Shape = tuple[int, ...]
_ROWS: Final = Rows()


class Padded:
    """Of a model whose rows are in the first dimension, and which ignores padding on its dynamic axes.

    A mask that a request leaves out is made for it, with 1 where the request has something; one that it
    brings is padded with 0 like any other input with its own padding. Pure but for what `count` is told.
    """

    def __init__(self, spec: ModelSpec, count: CountPadding) -> None:
        """`spec`: of a model with axes, checked: masks have nothing but the rows and dynamic or fixed
        dimensions, and each axis is one of an input that every request has."""
        self._axes = {axis.name: axis for axis in spec.axes}
        self._masks = {tensor.name: tensor for tensor in spec.inputs if tensor.is_mask}
        # Those that may be missing last: the first to have an axis says its size.
        named = sorted((tensor for tensor in spec.inputs if any(tensor.axes)), key=lambda one: one.optional)
        self._places = {tensor.name: _places(tensor) for tensor in named}
        self._fills = {
            tensor.name: _fill(tensor, self._axes) for tensor in named if tensor.name not in self._masks
        }
        self._outputs = {tensor.name: _places(tensor) for tensor in spec.outputs if any(tensor.axes)}
        self._count = count

    def bucket(self, request: InferRequest, outputs: tuple[str, ...]) -> BucketKey:
        """Same inputs but for the masks, datatypes, shapes once they are padded, and outputs to compute."""
        inputs = request.inputs
        run = self._run_sizes(self._sizes(inputs))
        masks, places = self._masks, self._places
        return (
            outputs,
            *(
                (name, array.dtype.num, _resized(array.shape, places[name], run)[1:])
                if name in places
                else (name, array.dtype.num, array.shape[1:])
                for name, array in sorted(inputs.items())
                if name not in masks
            ),
        )

    def stack(self, items: Sequence[Item]) -> Mapping[str, Array]:
        """A request alone whose sizes are those of buckets is passed on as the views it arrived in. Else
        every array is written once into one new array."""
        requests = [item.request.inputs for item in items]
        sizes = [self._sizes(inputs) for inputs in requests]
        run = self._run_sizes(sizes[0])
        exact = all(own == run for own in sizes)
        rows = sum(item.rows for item in items)
        stacked: dict[str, Array] = {}
        elements = real = 0
        for name in requests[0]:
            if name in self._masks:
                continue
            arrays = [inputs[name] for inputs in requests]
            fill = self._fills.get(name)
            if fill is None or exact:
                stacked[name] = _joined(arrays)
            else:
                shape = _resized(arrays[0].shape, self._places[name], run)
                stacked[name] = _padded(arrays, (rows, *shape[1:]), fill)
            if fill is not None:
                elements += stacked[name].size
                real += sum(array.size for array in arrays)
        for mask in self._masks.values():
            stacked[mask.name] = self._mask(mask, items, sizes, (rows, run))
        self._count(elements, elements - real)
        return stacked

    def split(self, items: Sequence[Item], outputs: Mapping[str, Array]) -> list[Mapping[str, Array]]:
        """Each request's rows, and of these its own sizes. Raises ExecutionFailed when an output is not of
        the size that its rows and axes say."""
        sizes = [self._sizes(item.request.inputs) for item in items]
        run = self._run_sizes(sizes[0])
        for name, array in outputs.items():
            if name in self._outputs:
                _check_output(name, array, self._outputs[name], run)
        return [
            answer
            if own == run
            else {
                name: _cut(array, self._outputs[name], own) if name in self._outputs else array
                for name, array in answer.items()
            }
            for answer, own in zip(_ROWS.split(items, outputs), sizes, strict=True)
        ]

    def _sizes(self, inputs: Mapping[str, Array]) -> Sizes:
        """Raises TensorMismatch when two inputs have an axis in two sizes."""
        sizes: dict[str, int] = {}
        for name, places in self._places.items():
            array = inputs.get(name)
            if array is None:
                continue
            shape = array.shape
            for place, axis in places:
                if sizes.setdefault(axis, shape[place]) != shape[place]:
                    raise TensorMismatch(
                        f"input '{name}' has size {shape[place]} on the axis '{axis}', but input "
                        f"'{self._first_with(axis)}' has {sizes[axis]}: they must be equal"
                    )
        return sizes

    def _run_sizes(self, sizes: Sizes) -> Sizes:
        run = {}
        for name, size in sizes.items():
            axis = self._axes[name]
            if size > axis.buckets[-1]:
                raise TensorMismatch(oversized(axis, size, self._first_with(name)))
            run[name] = next_bucket(axis, size)
        return run

    def _first_with(self, axis: str) -> str:
        return next(name for name, places in self._places.items() if axis in dict(places).values())

    def _mask(
        self, mask: TensorSpec, items: Sequence[Item], sizes: Sequence[Sizes], whole: tuple[int, Sizes]
    ) -> Array:
        """`whole`: the rows and sizes of the run."""
        sent = [item.request.inputs.get(mask.name) for item in items]
        if len(items) == 1 and sent[0] is not None and sizes[0] == whole[1]:
            return sent[0]
        places = self._places[mask.name]
        shape = _resized((0, *mask.graph_shape), places, whole[1])[1:]
        result: Array = np.zeros((whole[0], *shape), mask.datatype.dtype)
        first = 0
        for item, own, array in zip(items, sizes, sent, strict=True):
            real = _corner(first, _resized((item.rows, *shape), places, own))
            result[real] = 1 if array is None else array
            first += item.rows
        return result


def next_bucket(axis: DynamicAxis, size: int) -> int:
    """What a size is padded to; not above the last bucket."""
    return axis.buckets[bisect_left(axis.buckets, size)]


def oversized(axis: DynamicAxis, size: int, name: str) -> str:
    """What to say of an input of this name and size, which is above the last bucket."""
    return (
        f"input '{name}' has size {size} on the axis '{axis.name}', which is more than the largest bucket: "
        f"its buckets are {', '.join(map(str, axis.buckets))}"
    )


def _places(tensor: TensorSpec) -> Places:
    return tuple((place, axis) for place, axis in enumerate(tensor.axes, start=1) if axis is not None)


def _fill(tensor: TensorSpec, axes: Mapping[str, DynamicAxis]) -> int | float | str:
    """All axes of one tensor have the same."""
    if tensor.datatype is Datatype.BYTES:
        return ""
    return next(axes[axis].pad for axis in tensor.axes if axis is not None)


def _resized(shape: Shape, places: Places, sizes: Sizes) -> Shape:
    resized = list(shape)
    for place, axis in places:
        resized[place] = sizes[axis]
    return tuple(resized)


def _corner(first: int, shape: Shape) -> tuple[slice, ...]:
    """Where in a run's array the rows from `first` on of a request of this shape are."""
    return (slice(first, first + shape[0]), *map(slice, shape[1:]))


def _joined(arrays: Sequence[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _padded(arrays: Sequence[Array], shape: Shape, fill: int | float | str) -> Array:
    """The rows of all arrays, each with `fill` behind it up to `shape`."""
    result = np.full(shape, fill, arrays[0].dtype)
    first = 0
    for array in arrays:
        result[_corner(first, array.shape)] = array
        first += len(array)
    return result


def _check_output(name: str, array: Array, places: Places, run: Sizes) -> None:
    for place, axis in places:
        size = array.shape[place] if place < array.ndim else None
        if size != run[axis]:
            raise ExecutionFailed(
                f"output '{name}' has shape {list(array.shape)}, where the graph says that its dimension "
                f"{place} is '{axis}', of which the inputs have {run[axis]}; leave it out of dynamic_axes"
            )


def _cut(array: Array, places: Places, sizes: Sizes) -> Array:
    return np.ascontiguousarray(array[tuple(map(slice, _resized(array.shape, places, sizes)))])
