"""What a model is run with before it is READY."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from onnxd.protocol.reshape import reshaped
from onnxd.protocol.wording import show, show_names, show_shape
from onnxd.repository.config import WarmupInput, WarmupSample, WarmupSection
from onnxd.repository.document import Loc
from onnxd.repository.warmup_sizes import Sizes, as_graph_takes, bucket_sizes, in_buckets
from onnxd.runtime.blank import Blank, WarmupRun
from onnxd.scheduler.padding import next_bucket, oversized
from onnxd.tensors import ModelSpec, TensorSpec


@dataclass(frozen=True, slots=True)
class WarmupPlan:
    """The runs, in order."""

    runs: tuple[WarmupRun, ...]
    counts: tuple[int, ...]
    """How often each is run on every instance."""
    guessed: bool
    """Nobody asked for these runs, and a free dimension had to be given a size: failing says little."""


class UnfitSample(Exception):
    """A sample that is not what the model takes."""

    def __init__(self, loc: Loc, text: str) -> None:
        super().__init__(text)
        self.loc = loc
        """Where the config states it."""
        self.text = text


def plan_warmup(spec: ModelSpec, warmup: WarmupSection) -> WarmupPlan:
    """What the config states; else one run with one row and one with the biggest batch, or one run for a
    model that does not batch. Optional inputs are left to their defaults, free dimensions are 1; dynamic
    axes have the size of each bucket in turn, and masks say that all of it is real.

    Raises UnfitSample.
    """
    runs = [
        {tensor.name: _zeros(tensor, batch, sizes) for tensor in _sent(spec)}
        for batch in _batches(spec, warmup)
        for sizes in bucket_sizes(spec.axes)
    ]
    counts = [1] * len(runs)
    for index, sample in enumerate(warmup.samples):
        runs.append(dict(_sample(spec, sample, ("warmup", "samples", index, "inputs"))))
        counts.append(sample.count)
    stated = warmup.batch_sizes is not None or bool(warmup.samples)
    guessed = not stated and any(map(_is_open, _sent(spec)))
    return WarmupPlan(tuple(as_graph_takes(spec, run) for run in runs), tuple(counts), guessed)


def _sent(spec: ModelSpec) -> list[TensorSpec]:
    return [tensor for tensor in spec.inputs if tensor.is_mask or not tensor.optional]


def _is_open(tensor: TensorSpec) -> bool:
    """It has a dimension whose size nobody knows."""
    axes = tensor.axes or (None,) * len(tensor.graph_shape)
    return (-1, None) in zip(tensor.graph_shape, axes, strict=True)


def _batches(spec: ModelSpec, warmup: WarmupSection) -> list[tuple[int, ...]]:
    if warmup.samples and warmup.batch_sizes is None:
        return []
    if not spec.batches:
        return [()]
    sizes = warmup.batch_sizes or (1, spec.max_batch_size)
    return [(size,) for size in dict.fromkeys(sizes)]


def _zeros(tensor: TensorSpec, batch: tuple[int, ...], sizes: Sizes) -> Blank:
    shape = (1 if size == -1 else size for size in in_buckets(tensor, tensor.graph_shape, sizes))
    return Blank(tensor.datatype, (*batch, *shape), values=(1,) if tensor.is_mask else ())


def _sample(spec: ModelSpec, sample: WarmupSample, loc: Loc) -> Iterator[tuple[str, Blank]]:
    batch = (sample.batch_size,) if spec.batches else ()
    if unknown := sorted(sample.inputs.keys() - {tensor.name for tensor in spec.inputs}):
        known = show_names(tensor.name for tensor in spec.inputs)
        raise UnfitSample((*loc, unknown[0]), f"the model has no input {show(unknown[0])}; it has {known}")
    given = {
        tensor.name: _stated(tensor, sample.inputs[tensor.name], batch, (*loc, tensor.name))
        for tensor in spec.inputs
        if tensor.name in sample.inputs
    }
    sizes = _padded_sizes(spec, given, loc)
    for tensor in spec.inputs:
        blank = given.get(tensor.name)
        if blank is not None:
            item = in_buckets(tensor, blank.shape[len(batch) :], sizes)
            yield tensor.name, blank._replace(shape=(*batch, *item))
        elif tensor in _sent(spec):
            yield tensor.name, _zeros(tensor, batch, sizes)


def _padded_sizes(spec: ModelSpec, given: Mapping[str, Blank], loc: Loc) -> Sizes:
    """The bucket of each axis; the smallest for one that the sample says nothing of."""
    sizes: dict[str, tuple[int, str]] = {}
    for tensor in spec.inputs:
        blank = given.get(tensor.name)
        if blank is None:
            continue
        for axis, size in zip(tensor.axes, blank.shape[1:], strict=False):
            if axis is None:
                continue
            known, first = sizes.setdefault(axis, (size, tensor.name))
            if known != size:
                text = f"size {size} on the axis {show(axis)}, where input {show(first)} has {known}"
                raise UnfitSample((*loc, tensor.name, "shape"), text)
    padded = {}
    for each in spec.axes:
        size, first = sizes.get(each.name, (1, ""))
        if size > each.buckets[-1]:
            raise UnfitSample((*loc, first, "shape"), oversized(each, size, first))
        padded[each.name] = next_bucket(each, size)
    return padded


def _stated(tensor: TensorSpec, stated: WarmupInput, batch: tuple[int, ...], loc: Loc) -> Blank:
    if stated.datatype is not None and stated.datatype is not tensor.datatype:
        text = f"input {show(tensor.name)} is {tensor.datatype.value}, not {stated.datatype.value}"
        raise UnfitSample((*loc, "datatype"), text)
    sizes = stated.shape
    if sizes == (1,) and not tensor.shape:
        sizes = ()
    if len(sizes) != len(tensor.shape) or any(
        want not in (-1, size) for size, want in zip(sizes, tensor.shape, strict=True)
    ):
        note = " (without the batch dimension)" if batch else ""
        text = f"input {show(tensor.name)} takes shape {show_shape(tensor.shape)}{note}"
        raise UnfitSample((*loc, "shape"), f"{text}, got {show_shape(stated.shape)}")
    shape = reshaped(sizes, tensor.shape, tensor.graph_shape)
    return Blank(tensor.datatype, (*batch, *shape), stated.fill == "random")
