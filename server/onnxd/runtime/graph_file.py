"""A model file read as a graph, without running it: for what a session does not tell.

Used in the trial's child process only: reading what somebody else has written may take all memory or for
ever, and the onnx package takes longer to import than a small model to load.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def read_graph(path: Path) -> onnx.ModelProto | None:
    """The model without its external data. None for ONNX Runtime's own format, which it alone reads."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(str(path), load_external_data=False)
    except DecodeError:
        return None


def every_graph(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The main graph and the bodies of all control flow, in functions too."""
    yield model.graph
    for node in every_node(model):
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs


def every_node(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node, wherever it is nested: in the graph, in the bodies of If, Loop and Scan, in functions."""
    waiting = [model.graph.node, *(function.node for function in model.functions)]
    while waiting:
        for node in waiting.pop():
            yield node
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    waiting.append(attribute.g.node)
                waiting += [graph.node for graph in attribute.graphs]
