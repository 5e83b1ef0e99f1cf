"""What a model is run with before it is READY."""

from collections.abc import Iterator
from dataclasses import dataclass

from onnxd.protocol.reshape import reshaped
from onnxd.protocol.wording import show, show_names, show_shape
from onnxd.repository.config import WarmupInput, WarmupSample, WarmupSection
from onnxd.repository.document import Loc
from onnxd.runtime.blank import Blank, WarmupRun
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
    model that does not batch. Optional inputs are left to their defaults, free dimensions are 1.

    Raises UnfitSample.
    """
    sent = [tensor for tensor in spec.inputs if not tensor.optional]
    runs = [{tensor.name: _zeros(tensor, batch) for tensor in sent} for batch in _batches(spec, warmup)]
    counts = [1] * len(runs)
    for index, sample in enumerate(warmup.samples):
        runs.append(dict(_sample(spec, sample, ("warmup", "samples", index, "inputs"))))
        counts.append(sample.count)
    stated = warmup.batch_sizes is not None or bool(warmup.samples)
    guessed = not stated and any(-1 in tensor.graph_shape for tensor in sent)
    return WarmupPlan(tuple(runs), tuple(counts), guessed)


def _batches(spec: ModelSpec, warmup: WarmupSection) -> list[tuple[int, ...]]:
    if warmup.samples and warmup.batch_sizes is None:
        return []
    if not spec.batches:
        return [()]
    sizes = warmup.batch_sizes or (1, spec.max_batch_size)
    return [(size,) for size in dict.fromkeys(sizes)]


def _zeros(tensor: TensorSpec, batch: tuple[int, ...]) -> Blank:
    sizes = (1 if size == -1 else size for size in tensor.graph_shape)
    return Blank(tensor.datatype, (*batch, *sizes))


def _sample(spec: ModelSpec, sample: WarmupSample, loc: Loc) -> Iterator[tuple[str, Blank]]:
    batch = (sample.batch_size,) if spec.batches else ()
    if unknown := sorted(sample.inputs.keys() - {tensor.name for tensor in spec.inputs}):
        known = show_names(tensor.name for tensor in spec.inputs)
        raise UnfitSample((*loc, unknown[0]), f"the model has no input {show(unknown[0])}; it has {known}")
    for tensor in spec.inputs:
        stated = sample.inputs.get(tensor.name)
        if stated is not None:
            yield tensor.name, _stated(tensor, stated, batch, (*loc, tensor.name))
        elif not tensor.optional:
            yield tensor.name, _zeros(tensor, batch)


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
