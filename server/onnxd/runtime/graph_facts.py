"""What can be known of the values in a graph without running it, node by node.

Like graph_file, for the trial's child process only.
"""

from __future__ import annotations

import contextlib
from collections import ChainMap
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from onnxd.runtime.graph_file import every_graph
from onnxd.tensors import Array

if TYPE_CHECKING:
    import onnx

_KEPT_BYTES: Final = 64 * 2**10
"""Larger constants are not looked into."""

_SIZES: Final = frozenset({"Shape", "Size"})
_PLACES: Final = frozenset({"NonZero", "ArgMax", "ArgMin"})
_MOVES: Final = frozenset(
    {
        "Cast", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity", "ReduceMax",
        "ReduceMin", "Reshape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
"""Every element of their outputs is one of their first input's."""
_CHOICES: Final = frozenset({"Concat", "Max", "Min", "Div", "Mod"})
"""From inputs none of which is negative they make none that is."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of one value."""

    element: int = 0
    """ONNX's number for its element type; 0 = not known."""
    constant: Array | None = None
    """Its elements, where they are the same in every run and few. Not its shape."""
    driven: bool = False
    """It depends on the values that clients send, not only on their shapes."""
    natural: bool = False
    """No element is negative: it is made of sizes and places."""


_STRANGE: Final = Fact(driven=True)
ABSENT: Final = Fact()
"""Of an input that is left out."""
_Scope = ChainMap[str, Fact]
Visit = Callable[["onnx.NodeProto", Sequence[Fact], "Fact"], None]
"""Given a node, the facts of its inputs, and that of its first output."""


def survey(model: onnx.ModelProto, sent: Collection[str], visit: Visit) -> None:
    """Visits every node, those of bodies and functions too, and some of them more than once.

    `sent` are the inputs that clients may send; an input that is not among them has its default. Changes the
    model: functions are put in the place of their calls, and large constants are emptied.
    """
    model = _typed(model)
    defaults = {tensor.name for tensor in model.graph.initializer}
    scope: _Scope = ChainMap()
    for value in model.graph.input:
        if value.name in sent or value.name not in defaults:
            scope[value.name] = Fact(value.type.tensor_type.elem_type, driven=True)
    _Survey(visit).graph(model.graph, scope, keep=frozenset(scope))


def _typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """With the types of values as far as ONNX can tell, in the place of calls what they call."""
    from onnx import TensorProto, inliner, shape_inference

    for graph in every_graph(model):
        for tensor in graph.initializer:
            if tensor.ByteSize() > _KEPT_BYTES:  # looking at raw_data would copy it
                tensor.ClearField("raw_data")
                tensor.data_location = TensorProto.EXTERNAL
    # They raise what they like, and an unknown type is an answer too.
    with contextlib.suppress(Exception):
        model = inliner.inline_local_functions(model)
    with contextlib.suppress(Exception):
        model = shape_inference.infer_shapes(model)
    return model


class _Survey:
    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    def graph(self, graph: onnx.GraphProto, scope: _Scope, keep: Collection[str] = ()) -> list[Fact]:
        """Fills the scope, in which the graph's inputs are already; the facts of the outputs. What is in
        `keep` is not what the initializer of that name says."""
        types = {
            value.name: value.type.tensor_type.elem_type
            for value in (*graph.value_info, *graph.input, *graph.output)
        }
        for tensor in graph.initializer:
            if tensor.name not in keep:
                scope[tensor.name] = _constant(tensor)
        for sparse in graph.sparse_initializer:
            scope[sparse.values.name] = Fact(sparse.values.data_type)
        for node in graph.node:
            inputs = [scope.get(name, _STRANGE) if name else ABSENT for name in node.input]
            outputs = self._outputs(node, inputs, scope)
            for name, fact in zip(node.output, outputs, strict=False):
                scope[name] = replace(fact, element=types.get(name, 0) or fact.element)
            self._visit(node, inputs, scope[node.output[0]] if node.output else ABSENT)
        return [scope.get(value.name, _STRANGE) for value in graph.output]

    def _outputs(self, node: onnx.NodeProto, inputs: list[Fact], scope: _Scope) -> list[Fact]:
        bodies = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
        if node.op_type == "If" and bodies:
            return self._branches(bodies, inputs, scope)
        if bodies:
            return self._repeated(node, bodies[0], inputs, scope)
        return [_computed(node, inputs)] * len(node.output)

    def _branches(self, bodies: list[onnx.GraphProto], inputs: list[Fact], scope: _Scope) -> list[Fact]:
        results = [self.graph(body, scope.new_child()) for body in bodies]
        return [
            Fact(
                driven=any(fact.driven for fact in (*inputs, *facts)),
                natural=all(fact.natural for fact in facts),
            )
            for facts in zip(*results, strict=False)
        ]

    def _repeated(
        self, node: onnx.NodeProto, body: onnx.GraphProto, inputs: list[Fact], scope: _Scope
    ) -> list[Fact]:
        """Loop and Scan: what a round makes is what the next one gets, so it is gone through until nothing
        changes. A Loop's first two inputs are how often; its body is given the round and whether to go on."""
        own = [False] * len(body.input)
        for index, fact in enumerate(inputs[: len(own)]):
            own[index] = fact.driven
        while True:
            inner = scope.new_child()
            for index, (value, driven) in enumerate(zip(body.input, own, strict=True)):
                natural = node.op_type == "Loop" and index == 0
                inner[value.name] = Fact(value.type.tensor_type.elem_type, driven=driven, natural=natural)
            results = self.graph(body, inner, keep=frozenset(value.name for value in body.input))
            offset = 1 if node.op_type == "Loop" else 0  # the body's first output goes to its second input
            grown = own.copy()
            for index, fact in enumerate(results):
                if index + offset < len(grown):
                    grown[index + offset] |= fact.driven
            if grown == own:
                if offset and results[0].driven:  # whether to go on, as each round says
                    inputs[1] = replace(inputs[1], driven=True)
                how_often = bool(offset) and any(fact.driven for fact in inputs[:2])
                return [Fact(driven=fact.driven or how_often) for fact in results[offset:]]
            own = grown


def _computed(node: onnx.NodeProto, inputs: Sequence[Fact]) -> Fact:
    if node.op_type in _SIZES:
        return Fact(natural=True)
    if node.op_type == "Constant":
        return _of_constant(node)
    driven = any(fact.driven for fact in inputs)
    if not inputs:
        return Fact()
    if node.op_type in _MOVES:
        first = inputs[0]
        kept = first.constant if node.op_type != "Cast" else None
        return Fact(constant=kept, driven=driven, natural=first.natural)
    natural = node.op_type in _PLACES or (node.op_type in _CHOICES and all(fact.natural for fact in inputs))
    return Fact(driven=driven, natural=natural)


def _constant(tensor: onnx.TensorProto) -> Fact:
    from onnx import TensorProto, numpy_helper

    if tensor.data_location == TensorProto.EXTERNAL or tensor.ByteSize() > _KEPT_BYTES:
        return Fact(tensor.data_type)
    try:
        return _known(tensor.data_type, numpy_helper.to_array(tensor))
    except Exception:  # whatever it says to a faulty one: ONNX Runtime has taken it
        return Fact(tensor.data_type)


def _of_constant(node: onnx.NodeProto) -> Fact:
    import numpy as np
    from onnx import TensorProto

    values: Mapping[str, onnx.AttributeProto] = {attribute.name: attribute for attribute in node.attribute}
    if "value" in values:
        return _constant(values["value"].t)
    if "value_int" in values:
        return _known(TensorProto.INT64, np.array(values["value_int"].i))
    if "value_ints" in values:
        return _known(TensorProto.INT64, np.array(values["value_ints"].ints, np.int64))
    return Fact()


def _known(element: int, array: Array) -> Fact:
    natural = array.dtype.kind == "u" or (array.dtype.kind == "i" and not (array < 0).any())
    return Fact(element, array, natural=natural)
