"""What the keys about requests of different size demand of each other, before there is a graph."""

from collections.abc import Iterator
from typing import Final

from onnxd.repository.config import InputConfig, ModelConfig, OutputConfig
from onnxd.repository.document import Loc

Found = tuple[Loc, str, Loc]
"""Where, what, and the place that it contradicts."""
_ROWS: Final[Loc] = ("max_batch_size",)
_NEEDS_ROWS: Final = "needs a max_batch_size of at least 1"


def shape_contradictions(config: ModelConfig) -> Iterator[Found]:
    yield from _axes(config)
    for index, tensor in enumerate(config.inputs):
        if tensor.ragged:
            yield from _flat(config, ("inputs", index, "ragged"), tensor)
    for index, output in enumerate(config.outputs):
        if output.scatter is not None:
            yield from _flat(config, ("outputs", index, "scatter"), output)
    yield from _batch_inputs(config)


def _axes(config: ModelConfig) -> Iterator[Found]:
    if not config.dynamic_axes:
        return
    at: Loc = ("dynamic_axes",)
    if not config.batches:
        yield at, f"{_NEEDS_ROWS}: padding is there for batches", _ROWS
    elif not config.batching.dynamic:
        text = "needs batching.dynamic: padding is there so that requests share a batch"
        yield at, text, ("batching", "dynamic")
    if config.batch_inputs or any(tensor.ragged for tensor in config.inputs):
        text = "a model has either padded axes or ragged inputs with batch_inputs"
        yield at, f"{text}; leave one of the two out", ("inputs",)
    for name, axis in config.dynamic_axes.items():
        for index, (size, following) in enumerate(zip(axis.buckets, axis.buckets[1:], strict=False)):
            if following <= size:
                here: Loc = (*at, name, "buckets", index + 1)
                yield here, f"{following} follows {size}: buckets are listed in ascending order", here[:-1]


def _flat(config: ModelConfig, loc: Loc, tensor: InputConfig | OutputConfig) -> Iterator[Found]:
    if not config.batches:
        yield (
            loc,
            f"{_NEEDS_ROWS}: without batches there is nothing to put together",
            _ROWS,
        )
    if tensor.shape is None:
        text = "needs shape: the graph has it flat, and cannot say which shape clients see"
        yield loc, text, loc[:-2]
    elif tensor.reshape is not None:
        yield loc, "cannot have a reshape as well: the graph has it flat", loc[:-2]


def _batch_inputs(config: ModelConfig) -> Iterator[Found]:
    if config.batch_inputs and not config.batches:
        yield (
            ("batch_inputs",),
            f"{_NEEDS_ROWS}: it tells of the requests of a batch",
            _ROWS,
        )
    listed = {tensor.name for tensor in config.inputs}
    for index, made in enumerate(config.batch_inputs):
        loc: Loc = ("batch_inputs", index, "name")
        if made.name in listed:
            text = f"{made.name} is listed under inputs too: it is made by the server, clients do not send it"
            yield loc, text, ("inputs",)
        if made.name in (before.name for before in config.batch_inputs[:index]):
            yield loc, f"{made.name} is listed twice", ("batch_inputs",)
