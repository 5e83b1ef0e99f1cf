"""A model file read as a graph, without running it: for what a session does not tell.

Used in the trial's child process only: reading what somebody else has written may take all memory or for
ever, and the onnx package takes longer to import than a small model to load.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import onnx


def read_graph(path: Path) -> onnx.ModelProto | None:
    """The model without its external data. None for what is no model, and for ONNX Runtime's own format.

    Whatever the file's name, it is read as ONNX Runtime reads it: the name is the model's author's choice.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if path.stat().st_size == 0:
        return None
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        model = onnx.ModelProto()
        try:
            model.MergeFromString(cast(bytes, view))  # not copied: there may be two gigabytes of it
        except DecodeError:
            return None
        return model


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
