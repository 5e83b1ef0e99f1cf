"""Which inputs of a graph are places in a table, and how long that table is.

For whoever makes up inputs: an index beyond the table fails the run, or says nothing of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from onnxd.runtime.graph_file import every_graph

if TYPE_CHECKING:
    import onnx

_KEEPING: Final = frozenset(
    {"Cast", "Clip", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators whose elements are those of their first input."""


def index_bounds(model: onnx.ModelProto) -> dict[str, int]:
    """By input: the first number that is no place, in the shortest table that it is looked up in."""
    origin = {info.name: info.name for info in model.graph.input}
    lengths: dict[str, tuple[int, ...]] = {}
    bounds: dict[str, int] = {}
    for graph in every_graph(model):
        lengths.update((initializer.name, tuple(initializer.dims)) for initializer in graph.initializer)
        for node in graph.node:
            if node.op_type in _KEEPING and node.input and node.output:
                if (name := origin.get(node.input[0])) is not None:
                    origin[node.output[0]] = name
                if node.op_type in ("Cast", "Identity") and node.input[0] in lengths:
                    lengths[node.output[0]] = lengths[node.input[0]]
            for source, bound in _looked_up(node, lengths):
                if (name := origin.get(source)) is not None and bound > 0:
                    bounds[name] = min(bound, bounds.get(name, bound))
    return bounds


def _looked_up(node: onnx.NodeProto, lengths: Mapping[str, tuple[int, ...]]) -> list[tuple[str, int]]:
    """The inputs of a node that are places, each with the length of its table."""
    if node.op_type == "EmbedLayerNormalization":  # ids and segments, and their tables
        pairs = [(0, 2), (1, 4)]
        return [
            (node.input[place], lengths[node.input[table]][0])
            for place, table in pairs
            if table < len(node.input) and lengths.get(node.input[table])
        ]
    if node.op_type not in ("Gather", "GatherElements") or len(node.input) < 2:
        return []
    table = lengths.get(node.input[0], ())
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    return [(node.input[1], table[axis])] if -len(table) <= axis < len(table) else []
