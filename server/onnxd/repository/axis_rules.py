"""`dynamic_axes` and the graph: which dimensions they are, and all that is wrong with them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from onnxd.protocol.wording import show, show_names, show_shape
from onnxd.repository.config import ModelConfig
from onnxd.repository.document import Loc
from onnxd.repository.shape_config import AxisConfig
from onnxd.runtime.graph import GraphSpec, GraphTensor
from onnxd.tensors import Datatype, DynamicAxis, TensorSpec

Problem = tuple[Loc, str]


def axes_of(config: ModelConfig) -> tuple[DynamicAxis, ...]:
    return tuple(DynamicAxis(name, axis.buckets, axis.pad) for name, axis in config.dynamic_axes.items())


def with_axes(
    specs: Sequence[TensorSpec], tensors: Sequence[GraphTensor], config: ModelConfig
) -> tuple[TensorSpec, ...]:
    """The specs of a model that batches, told which of their dimensions are dynamic axes."""
    symbols = {tensor.name: tensor.dim_names[1:] for tensor in tensors}
    masks = {axis.mask_input for axis in config.dynamic_axes.values()}
    told = []
    for spec in specs:
        axes = tuple(name if name in config.dynamic_axes else None for name in symbols[spec.name])
        told.append(replace(spec, axes=axes if any(axes) else (), is_mask=spec.name in masks))
    return tuple(told)


def axis_problems(config: ModelConfig, graph: GraphSpec, inputs: Sequence[TensorSpec]) -> Iterator[Problem]:
    """`inputs` have been told their axes."""
    tensors = (*graph.inputs, *graph.optional)
    batch = {tensor.dim_names[0] for tensor in tensors if tensor.dim_names} - {None}
    known = dict.fromkeys(
        name for tensor in tensors for name in tensor.dim_names[1:] if name is not None and name not in batch
    )
    for name, axis in config.dynamic_axes.items():
        loc: Loc = ("dynamic_axes", name)
        if name in batch:
            text = f"{show(name)} is the dimension of the batch, which max_batch_size is about"
            yield loc, f"{text}; {_listed(known)}"
        elif name not in known:
            yield loc, f"no input of the graph has an axis {show(name)}; {_listed(known)}"
        else:
            yield from _axis(name, axis, inputs, loc)
        yield from _mask(name, axis, graph, inputs, (*loc, "mask_input"))
    yield from _pads(config, inputs)


def holds(datatype: Datatype, value: int | float) -> bool:
    """Whether tensors of numbers can have it; rounded, where they are of floats."""
    if datatype is Datatype.BOOL:
        return value in (0, 1)
    if datatype.is_integer:
        limits = np.iinfo(datatype.dtype)
        return value == math.floor(value) and int(limits.min) <= value <= int(limits.max)
    try:
        with np.errstate(over="ignore"):
            return math.isfinite(float(np.array(float(value)).astype(datatype.dtype)))
    except OverflowError:
        return False


def _listed(known: dict[str, None]) -> str:
    if not known:
        return (
            "the graph has no other named axes: export the model with a name for each dimension that is free"
        )
    return f"its axes are {show_names(known)}"


def _axis(name: str, axis: AxisConfig, inputs: Sequence[TensorSpec], loc: Loc) -> Iterator[Problem]:
    having = [tensor for tensor in inputs if name in tensor.axes and not tensor.is_mask]
    if all(tensor.optional for tensor in having):
        text = f"no input that every request has, other than masks, has the axis {show(name)}"
        yield loc, f"{text}, so its size would not be known"
    for tensor in inputs:
        for size, other in zip(tensor.graph_shape, tensor.axes, strict=False):
            if other != name or size == -1:
                continue
            for index, bucket in enumerate(axis.buckets):
                if bucket < size:
                    text = f"{bucket} is smaller than the {size} that input {show(tensor.name)} takes"
                    yield (*loc, "buckets", index), f"{text}; leave it out, or state -1 in its shape"


def _mask(
    name: str, axis: AxisConfig, graph: GraphSpec, inputs: Sequence[TensorSpec], loc: Loc
) -> Iterator[Problem]:
    if axis.mask_input is None:
        return
    required = [tensor.name for tensor in graph.inputs]
    mask = next((tensor for tensor in inputs if tensor.name == axis.mask_input), None)
    if mask is None or mask.name not in required:
        text = f"the graph has no required input {show(axis.mask_input)}; it has {show_names(required)}"
        yield loc, text
        return
    what = f"input {show(mask.name)}"
    if mask.datatype is Datatype.BYTES:
        yield loc, f"{what} is BYTES: a mask is of numbers or truth values"
    if name not in mask.axes:
        shape = show_shape((-1, *mask.graph_shape))
        yield loc, f"{what} has shape {shape} and not the axis {show(name)}, so it cannot be its mask"
    elif any(size == -1 and other is None for size, other in zip(mask.graph_shape, mask.axes, strict=False)):
        text = f"{what} has a free dimension besides the batch's that is not one of dynamic_axes"
        yield loc, f"{text}, so the server cannot know how much of it to fill"


def _pads(config: ModelConfig, inputs: Sequence[TensorSpec]) -> Iterator[Problem]:
    for tensor in inputs:
        if tensor.is_mask or tensor.datatype is Datatype.BYTES:
            continue
        names = [name for name in dict.fromkeys(tensor.axes) if name is not None]
        for name in names:
            loc, pad = ("dynamic_axes", name, "pad"), config.dynamic_axes[name].pad
            first = config.dynamic_axes[names[0]].pad
            if not holds(tensor.datatype, pad):
                text = f"{pad} is not a value of {tensor.datatype.value}"
                yield loc, f"{text}, which input {show(tensor.name)} is made of"
            elif pad != first:
                text = f"input {show(tensor.name)} has the axes {show(names[0])}, padded with {first}, too"
                yield loc, f"{text}; state the same value for both"
