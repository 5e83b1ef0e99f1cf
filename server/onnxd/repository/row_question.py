"""Whether a model's rows may be put together at all, and what its trial is asked about them."""

import re
from collections.abc import Mapping
from typing import Final

from onnxd.protocol.wording import show
from onnxd.repository.config import ModelConfig
from onnxd.runtime.graph import GraphSpec, GraphTensor
from onnxd.runtime.made_up import RowInput
from onnxd.runtime.row_inquiry import RowQuestion
from onnxd.tensors import ModelSpec

_MADE_BY_EXPORTERS: Final = re.compile(
    r"\?|unk__\d+|dynamic_axes_\d+|.+_dim_\d+|(p2o\.)?DynamicDimension\.\d+"
)
"""Symbols that exporters number anew for each tensor: that two of them differ says nothing."""


class Unlike(Exception):
    """The model has no rows to put together. The text says why."""


def check_first_dimensions(config: ModelConfig, graph: GraphSpec) -> None:
    """Raises Unlike unless all that clients send and get has a free one, and something beside it."""
    sent = {tensor.name for tensor in config.inputs}
    offered = {tensor.name for tensor in config.outputs}
    inputs = [*graph.inputs, *(tensor for tensor in graph.optional if tensor.name in sent)]
    outputs = [tensor for tensor in graph.outputs if not offered or tensor.name in offered]
    if not inputs:
        raise Unlike("the model takes no inputs")
    for what, tensor in {**_places("input", inputs), **_places("output", outputs)}.items():
        if tensor.shape[:1] != (-1,):
            raise Unlike(f"{what} has no free first dimension in the graph")
    if all(len(tensor.shape) == 1 for tensor in inputs):
        raise Unlike("its inputs are vectors, and their only dimension may well be their length")


def ask_rows(spec: ModelSpec, graph: GraphSpec, *, assumed: bool) -> RowQuestion:
    """About a spec that batches. `assumed`: nobody has stated that it does, so that the graph must at least
    not deny it. Raises Unlike."""
    tensors = {tensor.name: tensor for tensor in (*graph.inputs, *graph.optional, *graph.outputs)}
    inputs = [tensors[tensor.name] for tensor in spec.inputs]
    outputs = [tensors[tensor.name] for tensor in spec.outputs]
    symbols = _symbols({**_places("input", inputs), **_places("output", outputs)})
    if assumed and len(set(symbols.values()) - {""}) > 1:
        one, other = _two(symbols)
        raise Unlike(
            f"{one} and {other} do not have the same first dimension: the graph calls it "
            f"{show(symbols[one])} and {show(symbols[other])}"
        )
    shapes = {tensor.name: tensor.graph_shape for tensor in spec.inputs}
    return RowQuestion(
        inputs=tuple(
            RowInput(tensor.name, tensor.datatype, shapes[tensor.name], _names(tensor, shapes[tensor.name]))
            for tensor in inputs
        ),
        outputs={tensor.name: tensor.datatype for tensor in outputs},
        max_rows=spec.max_batch_size,
    )


def _places(role: str, tensors: list[GraphTensor]) -> dict[str, GraphTensor]:
    return {f"{role} {show(tensor.name)}": tensor for tensor in tensors}


def _symbols(tensors: Mapping[str, GraphTensor]) -> dict[str, str]:
    """Of each first dimension; empty = it says nothing."""
    symbols = {}
    for what, tensor in tensors.items():
        name = (tensor.dim_names[0] if tensor.dim_names else None) or ""
        symbols[what] = "" if _MADE_BY_EXPORTERS.fullmatch(name) else name
        if name and name in tensor.dim_names[1:]:
            raise Unlike(f"{what} has its first dimension {show(name)} on another axis too")
    return symbols


def _two(symbols: Mapping[str, str]) -> tuple[str, str]:
    """The first tensor with a symbol, and the first with another one."""
    one = next(what for what, symbol in symbols.items() if symbol)
    other = next(what for what, symbol in symbols.items() if symbol and symbol != symbols[one])
    return one, other


def _names(tensor: GraphTensor, shape: tuple[int, ...]) -> tuple[str | None, ...]:
    names = tensor.dim_names[1:]
    return names if len(names) == len(shape) else (None,) * len(shape)
