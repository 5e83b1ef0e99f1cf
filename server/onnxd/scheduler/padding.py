"""Requests of different size in one run: padded up to the next bucket, and their answers cut back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from onnxd.errors import ExecutionFailed, TensorMismatch
from onnxd.messages import InferRequest
from onnxd.scheduler.batch import Rows
from onnxd.scheduler.queue import BucketKey, Item
from onnxd.tensors import Array, Datatype, DynamicAxis, ModelSpec, TensorSpec

CountPadding = Callable[[int, int], None]
"""Told of each run: elements of its inputs that have a dynamic axis, and how many of them are padding."""
Sizes = Mapping[str, int]
"""By dynamic axis."""
_ROWS: Final = Rows()


class Padded:
    """Of a model whose rows are in the first dimension, and which ignores padding on its dynamic axes.

    A mask that a request leaves out is made for it, with 1 where the request has something; one that it
    brings is padded with 0 like any other input with its own padding.
    """

    def __init__(self, spec: ModelSpec, count: CountPadding) -> None:
        """`spec`: of a model with axes, checked: masks have nothing but the rows and dynamic or fixed
        dimensions, and each axis is one of an input that every request has."""
        self._axes = {axis.name: axis for axis in spec.axes}
        self._masks = tuple(tensor for tensor in spec.inputs if tensor.is_mask)
        self._padded = {
            tensor.name: tensor for tensor in spec.inputs if any(tensor.axes) and not tensor.is_mask
        }
        # Those that may be missing last: the first to have an axis says its size.
        self._named = sorted(
            (tensor for tensor in spec.inputs if any(tensor.axes)), key=lambda tensor: tensor.optional
        )
        self._with_axis = {
            axis: next(tensor.name for tensor in self._named if axis in tensor.axes) for axis in self._axes
        }
        self._mask_names = frozenset(tensor.name for tensor in self._masks)
        self._outputs = {tensor.name: tensor.axes for tensor in spec.outputs if any(tensor.axes)}
        self._fills = {tensor.name: _fill(tensor, self._axes) for tensor in self._padded.values()}
        self._count = count

    def bucket(self, request: InferRequest, outputs: tuple[str, ...]) -> BucketKey:
        """Same inputs but for the masks, datatypes, shapes once they are padded, and outputs to compute."""
        run = self._run_sizes(self._sizes(request.inputs))
        return (
            outputs,
            *(
                (name, array.dtype.num, self._item_shape(name, array, run))
                for name, array in sorted(request.inputs.items())
                if name not in self._mask_names
            ),
        )

    def stack(self, items: Sequence[Item]) -> Mapping[str, Array]:
        """A request alone whose sizes are those of buckets is passed on as the views it arrived in. Else
        every array is written once into one new array."""
        sizes = [self._sizes(item.request.inputs) for item in items]
        run = self._run_sizes(sizes[0])
        rows = sum(item.rows for item in items)
        stacked: dict[str, Array] = {}
        elements = real = 0
        for name in items[0].request.inputs:
            if name in self._mask_names:
                continue
            arrays = [item.request.inputs[name] for item in items]
            if name not in self._padded:
                stacked[name] = _joined(arrays)
                continue
            shape = (rows, *self._item_shape(name, arrays[0], run))
            stacked[name] = _padded(arrays, shape, self._fills[name])
            elements += stacked[name].size
            real += sum(array.size for array in arrays)
        for mask in self._masks:
            arrays = [
                _mask(mask, item.rows, own) if (sent := item.request.inputs.get(mask.name)) is None else sent
                for item, own in zip(items, sizes, strict=True)
            ]
            stacked[mask.name] = _padded(arrays, (rows, *_mask_shape(mask, run)), 0)
        self._count(elements, elements - real)
        return stacked

    def split(self, items: Sequence[Item], outputs: Mapping[str, Array]) -> list[Mapping[str, Array]]:
        """Each request's rows, and of these its own sizes. Raises ExecutionFailed when an output is not of
        the size that its rows and axes say."""
        sizes = [self._sizes(item.request.inputs) for item in items]
        run = self._run_sizes(sizes[0])
        for name, axes in self._outputs.items():
            if name in outputs:
                _check_output(name, outputs[name], axes, run)
        answers = _ROWS.split(items, outputs)
        return [
            answer
            if own == run
            else {
                name: _cut(array, self._outputs[name], own) if name in self._outputs else array
                for name, array in answer.items()
            }
            for answer, own in zip(answers, sizes, strict=True)
        ]

    def _sizes(self, inputs: Mapping[str, Array]) -> Sizes:
        """Raises TensorMismatch when two inputs have an axis in two sizes."""
        sizes: dict[str, int] = {}
        for tensor in self._named:
            array = inputs.get(tensor.name)
            if array is None:
                continue
            for axis, size in zip(tensor.axes, array.shape[1:], strict=True):
                if axis is not None and sizes.setdefault(axis, size) != size:
                    raise TensorMismatch(
                        f"input '{tensor.name}' has size {size} on the axis '{axis}', but input "
                        f"'{self._with_axis[axis]}' has {sizes[axis]}: they must be equal"
                    )
        return sizes

    def _run_sizes(self, sizes: Sizes) -> Sizes:
        return {
            axis: next_bucket(self._axes[axis], size, self._with_axis[axis]) for axis, size in sizes.items()
        }

    def _item_shape(self, name: str, array: Array, run: Sizes) -> tuple[int, ...]:
        """Without the rows, as the run has it."""
        tensor = self._padded.get(name)
        return array.shape[1:] if tensor is None else padded_shape(array.shape[1:], tensor.axes, run)


def next_bucket(axis: DynamicAxis, size: int, name: str) -> int:
    """What an input of this name and size is padded to. Raises TensorMismatch, naming the buckets."""
    for bucket in axis.buckets:
        if size <= bucket:
            return bucket
    raise TensorMismatch(
        f"input '{name}' has size {size} on the axis '{axis.name}', which is more than the largest bucket: "
        f"its buckets are {', '.join(map(str, axis.buckets))}"
    )


def padded_shape(shape: Sequence[int], axes: Sequence[str | None], run: Sizes) -> tuple[int, ...]:
    """A shape without rows, with the run's sizes on its axes."""
    return tuple(size if axis is None else run[axis] for size, axis in zip(shape, axes, strict=True))


def _fill(tensor: TensorSpec, axes: Mapping[str, DynamicAxis]) -> int | float | str:
    """A tensor with several axes is padded with the value of the first."""
    if tensor.datatype is Datatype.BYTES:
        return ""
    return next(axes[axis].pad for axis in tensor.axes if axis is not None)


def _joined(arrays: Sequence[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _padded(arrays: Sequence[Array], shape: tuple[int, ...], fill: int | float | str) -> Array:
    """The rows of all arrays, each with `fill` behind it up to `shape`; no copy if there is nothing to do."""
    if all(array.shape[1:] == shape[1:] for array in arrays):
        return _joined(arrays)
    result = np.full(shape, fill, arrays[0].dtype)
    first = 0
    for array in arrays:
        rows = slice(first, first + len(array))
        result[(rows, *map(slice, array.shape[1:]))] = array
        first = rows.stop
    return result


def _mask(mask: TensorSpec, rows: int, sizes: Sizes) -> Array:
    """Of one request, in its own sizes: all of it is real."""
    return np.ones((rows, *_mask_shape(mask, sizes)), mask.datatype.dtype)


def _mask_shape(mask: TensorSpec, sizes: Sizes) -> tuple[int, ...]:
    return padded_shape(mask.graph_shape, mask.axes, sizes)


def _check_output(name: str, array: Array, axes: Sequence[str | None], run: Sizes) -> None:
    if array.ndim != len(axes) + 1:
        raise ExecutionFailed(
            f"output '{name}' has shape {list(array.shape)}, but the graph says {len(axes) + 1} dimensions, "
            f"and dynamic_axes goes by that"
        )
    for axis, size in _on_axes(axes, array.shape[1:]):
        if size != run[axis]:
            raise ExecutionFailed(
                f"output '{name}' has size {size} on the axis '{axis}' where the inputs have {run[axis]}: "
                f"the graph names both the same, but they differ; leave '{axis}' out of dynamic_axes"
            )


def _cut(array: Array, axes: Sequence[str | None], sizes: Sizes) -> Array:
    own = (slice(None) if axis is None else slice(sizes[axis]) for axis in axes)
    return np.ascontiguousarray(array[(slice(None), *own)])


def _on_axes(axes: Sequence[str | None], shape: Sequence[int]) -> Iterator[tuple[str, int]]:
    return ((axis, size) for axis, size in zip(axes, shape, strict=True) if axis is not None)
