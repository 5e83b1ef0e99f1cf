"""Ragged inputs, scattered outputs, and the inputs that the server makes: what the graph says of them."""

from collections.abc import Iterator, Sequence
from typing import Final

from onnxd.protocol.wording import show, show_names, show_shape
from onnxd.repository.config import ModelConfig
from onnxd.repository.document import Loc
from onnxd.runtime.graph import GraphSpec, GraphTensor
from onnxd.tensors import BatchInput, BatchKind, TensorSpec

Problem = tuple[Loc, str]
_FLAT: Final = (-1,)


def batch_inputs_of(config: ModelConfig, graph: GraphSpec) -> tuple[BatchInput, ...]:
    """Those that the graph has."""
    tensors = {tensor.name: tensor for tensor in graph.inputs}
    return tuple(
        BatchInput(made.name, tensors[made.name].datatype, made.kind, made.source)
        for made in config.batch_inputs
        if made.name in tensors
    )


def ragged_problems(
    config: ModelConfig, graph: GraphSpec, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> Iterator[Problem]:
    """All that the graph has against it."""
    tensors = {tensor.name: tensor for tensor in (*graph.inputs, *graph.optional)}
    sources = {tensor.name: tensor for tensor in inputs if not tensor.optional}
    for index, entry in enumerate(config.inputs):
        tensor = tensors.get(entry.name)
        if entry.ragged and tensor is not None and tensor.rank_known and tensor.shape != _FLAT:
            text = f"the graph takes {show_shape(tensor.shape)} for input {show(entry.name)}"
            yield ("inputs", index, "ragged"), f"{text}: a ragged input has one free dimension, [-1]"
    for index, made in enumerate(config.batch_inputs):
        yield from _batch_input(config, index, tensors.get(made.name), sources, list(tensors))
    shapes = {tensor.name: tensor.shape for tensor in outputs}
    for index, output in enumerate(config.outputs):
        if output.scatter is None or output.name not in shapes:
            continue
        loc: Loc = ("outputs", index, "scatter")
        source = sources.get(output.scatter)
        if source is None:
            yield loc, _no_source(output.scatter, sources)
        elif -1 in shapes[output.name][len(source.shape) :]:
            text = f"output {show(output.name)} has a free dimension where input {show(source.name)} has none"
            yield loc, f"{text}: {show_shape(shapes[output.name])} beside {show_shape(source.shape)}"


def _batch_input(
    config: ModelConfig,
    index: int,
    tensor: GraphTensor | None,
    sources: dict[str, TensorSpec],
    known: list[str],
) -> Iterator[Problem]:
    made = config.batch_inputs[index]
    loc: Loc = ("batch_inputs", index)
    if tensor is None:
        yield (*loc, "name"), f"the graph has no input {show(made.name)}; it has {show_names(known)}"
        return
    what = f"input {show(made.name)}"
    if made.datatype not in (None, tensor.datatype):
        yield (*loc, "datatype"), f"the graph says {tensor.datatype.value} for {what}"
    if not (tensor.datatype.is_integer or tensor.datatype.is_float):
        yield (*loc, "name"), f"{what} is {tensor.datatype.value}: counts and sizes are numbers"
    source = sources.get(made.source)
    if source is None:
        yield (*loc, "source"), _no_source(made.source, sources)
        return
    wanted = (-1, len(source.shape)) if made.kind is BatchKind.ITEM_SHAPE else _FLAT
    if tensor.rank_known and tensor.shape not in (wanted, (-1,) * len(wanted)):
        text = f"the graph takes {show_shape(tensor.shape)} for {what}"
        yield (*loc, "kind"), f"{text}, but {made.kind.value} is {show_shape(wanted)}"


def _no_source(name: str, sources: dict[str, TensorSpec]) -> str:
    return f"there is no input {show(name)} that every request has; there is {show_names(sources)}"
