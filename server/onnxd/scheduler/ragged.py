"""Requests of different size in one run without padding: their elements follow each other in one dimension,
and inputs that the server makes tell the graph where each one begins."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from onnxd.errors import ExecutionFailed
from onnxd.messages import InferRequest
from onnxd.scheduler.batch import Rows
from onnxd.scheduler.item import BucketKey, Item
from onnxd.tensors import Array, BatchInput, BatchKind, ModelSpec, TensorSpec

Shape = tuple[int, ...]
_ROWS: Final = Rows()


class Ragged:
    """Of a model with ragged inputs; its other inputs and outputs have their rows in the first dimension."""

    def __init__(self, spec: ModelSpec) -> None:
        self._ragged = frozenset(tensor.name for tensor in spec.inputs if tensor.ragged)
        self._scattered = {
            tensor.name: (tensor, tensor.scatter) for tensor in spec.outputs if tensor.scatter is not None
        }
        self._batch_inputs = spec.batch_inputs

    def bucket(self, request: InferRequest, outputs: tuple[str, ...]) -> BucketKey:
        """Same inputs and datatypes, same outputs to compute, and for what is not ragged the same shapes
        behind the first dimension."""
        return (
            outputs,
            *(
                (name, array.dtype.num, None if name in self._ragged else array.shape[1:])
                for name, array in sorted(request.inputs.items())
            ),
        )

    def stack(self, items: Sequence[Item]) -> Mapping[str, Array]:
        """A request alone is passed on as the views it arrived in, the ragged ones flat."""
        requests = [item.request.inputs for item in items]
        stacked: dict[str, Array] = {}
        for name in requests[0]:
            arrays = [inputs[name] for inputs in requests]
            if name in self._ragged:
                arrays = [array.reshape(-1) for array in arrays]
            stacked[name] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        for made in self._batch_inputs:
            stacked[made.name] = batch_input(made, [inputs[made.source].shape for inputs in requests])
        return stacked

    def split(self, items: Sequence[Item], outputs: Mapping[str, Array]) -> list[Mapping[str, Array]]:
        """Raises ExecutionFailed when an output has other rows than went in, or is not as long as the
        requests' shapes say: so also for a request alone, or its answer would depend on its company."""
        by_rows = {name: array for name, array in outputs.items() if name not in self._scattered}
        for name, array in by_rows.items():
            _check_rows(name, array, sum(item.rows for item in items))
        parts = {
            name: _scatter(output, source, outputs[name], items)
            for name, (output, source) in self._scattered.items()
            if name in outputs
        }
        return [
            {name: parts[name][place] if name in parts else answer[name] for name in outputs}
            for place, answer in enumerate(_ROWS.split(items, by_rows))
        ]


def batch_input(made: BatchInput, shapes: Sequence[Shape]) -> Array:
    """Of a run in which the source has these shapes, one for each request, rows included."""
    dtype = made.datatype.dtype
    counts = [math.prod(shape) for shape in shapes]
    match made.kind:
        case BatchKind.ELEMENT_COUNT:
            return np.array(counts, dtype)
        case BatchKind.ACCUMULATED_ELEMENT_COUNT:
            return np.cumsum(counts).astype(dtype)
        case BatchKind.ACCUMULATED_ELEMENT_COUNT_WITH_ZERO:
            return np.cumsum([0, *counts]).astype(dtype)
        case BatchKind.MAX_ELEMENT_COUNT_AS_SHAPE:
            return np.zeros(max(counts), dtype)
        case BatchKind.ITEM_SHAPE:
            return _item_shapes(shapes, dtype)
        case BatchKind.ITEM_SHAPE_FLATTEN:
            return _item_shapes(shapes, dtype).reshape(-1)


def scattered_shape(output: TensorSpec, source: Shape) -> Shape:
    """What a request gets of a flat output: rows and free dimensions are those of its source."""
    return tuple(
        source[place] if stated == -1 else stated for place, stated in enumerate((-1, *output.shape))
    )


def _item_shapes(shapes: Sequence[Shape], dtype: "np.dtype[np.generic]") -> Array:
    rows = [shape[1:] for shape in shapes for _ in range(shape[0])]
    return np.array(rows, dtype).reshape(len(rows), len(shapes[0]) - 1)


def _check_rows(name: str, array: Array, rows: int) -> None:
    if array.ndim == 0 or array.shape[0] != rows:
        raise ExecutionFailed(
            f"output '{name}' has shape {list(array.shape)} for requests of {rows} rows in all: the model "
            f"does not give one row for each row of the requests; send one row in each, or have the output "
            f"cut by the shape of an input (outputs[].scatter, batch_output)"
        )


def _scatter(output: TensorSpec, source: str, array: Array, items: Sequence[Item]) -> list[Array]:
    shapes = [scattered_shape(output, item.request.inputs[source].shape) for item in items]
    counts = [math.prod(shape) for shape in shapes]
    if array.size != sum(counts):
        raise ExecutionFailed(
            f"output '{output.name}' has {array.size} elements, but the shapes of input '{source}' in the "
            f"requests of the run ask for {sum(counts)}"
        )
    flat = array.reshape(-1)
    ends = np.cumsum(counts).tolist()
    return [
        flat[end - count : end].reshape(shape) for end, count, shape in zip(ends, counts, shapes, strict=True)
    ]
