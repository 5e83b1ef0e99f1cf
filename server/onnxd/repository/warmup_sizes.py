"""The shapes of warm-up runs for models that take requests of different size."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Final

from onnxd.runtime.blank import Blank, WarmupRun
from onnxd.scheduler.ragged import batch_input
from onnxd.tensors import DynamicAxis, ModelSpec, TensorSpec

Sizes = Mapping[str, int]
"""By dynamic axis."""
_MOST_COMBINATIONS: Final = 64


def bucket_sizes(axes: Sequence[DynamicAxis]) -> list[Sizes]:
    """Every bucket with every one of the other axes; when that is more than 64, each bucket of each axis
    once or more, the smallest with the smallest. No axes are one run."""
    names = [axis.name for axis in axes]
    if math.prod(len(axis.buckets) for axis in axes) <= _MOST_COMBINATIONS:
        combined = itertools.product(*(axis.buckets for axis in axes))
        return [dict(zip(names, sizes, strict=True)) for sizes in combined]
    most = max(len(axis.buckets) for axis in axes)
    return [
        {axis.name: axis.buckets[min(rank, len(axis.buckets) - 1)] for axis in axes} for rank in range(most)
    ]


def in_buckets(tensor: TensorSpec, shape: Sequence[int], sizes: Sizes) -> tuple[int, ...]:
    """A shape without rows, with these sizes on the tensor's axes."""
    axes = tensor.axes or (None,) * len(shape)
    return tuple(size if axis is None else sizes[axis] for size, axis in zip(shape, axes, strict=True))


def as_graph_takes(spec: ModelSpec, run: WarmupRun) -> WarmupRun:
    """With ragged inputs flat, and the inputs that the server makes: as of requests of one row each."""
    if not spec.is_ragged:
        return run
    ragged = {tensor.name for tensor in spec.inputs if tensor.ragged}
    taken = {
        name: blank._replace(shape=(math.prod(blank.shape),)) if name in ragged else blank
        for name, blank in run.items()
    }
    for made in spec.batch_inputs:
        rows, *item = run[made.source].shape
        array = batch_input(made, [(1, *item)] * rows)
        taken[made.name] = Blank(made.datatype, array.shape, values=tuple(map(int, array.reshape(-1))))
    return taken
