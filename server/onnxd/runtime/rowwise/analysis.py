"""Whether a graph works row by row, from its nodes alone.

Each value of the graph is followed from the inputs, whose first axis holds the rows, to the outputs; each
operator has a rule for what it makes of its inputs (elementwise, alongside, products, layout, counting,
classic). An operator without a rule proves nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from onnxd.runtime.rowwise import alongside, classic, counting, elementwise, layout, products
from onnxd.runtime.rowwise.operation import Operation, Rule
from onnxd.runtime.rowwise.values import Counts, Mixed, N, Shape, Tensor, Unproven, Value

if TYPE_CHECKING:
    import onnx

_KEPT_ELEMENTS: Final = 1024
"""Constants up to this size may be shapes, axes or flags, whose value matters."""
_DEEPEST: Final = 32
"""Branches within branches."""
_MICROSOFT: Final = "com.microsoft"
_RULES: Final[Mapping[str, Mapping[str, Rule]]] = {
    "": {**elementwise.RULES, **alongside.RULES, **products.RULES, **layout.RULES},
    "ai.onnx.ml": classic.RULES,
    _MICROSOFT: {**elementwise.MICROSOFT, **alongside.MICROSOFT},
}
_RENAMED: Final = {"ai.onnx": ""}

Scope = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the nodes say of some outputs."""

    unproven: Mapping[str, Mixed]
    """The outputs that may mix rows. Empty: each row's answers depend on that row alone."""

    @property
    def across(self) -> str:
        """A node that is known to work across the rows on the way to an output; empty if none is."""
        return next((value.why for value in self.unproven.values() if value.across), "")


def analyse(model: onnx.ModelProto, inputs: Collection[str], outputs: Sequence[str]) -> Analysis:
    """Of `outputs`, with rows on the first axis of `inputs`. Inputs with a default are left at it."""
    opsets = {_domain(opset.domain): opset.version for opset in model.opset_import}
    functions = {(_domain(function.domain), function.name) for function in model.functions}
    walk = _Walk(opsets, functions)
    graph = model.graph
    scope: Scope = {}
    walk.constants(graph, scope)
    for info in graph.input:
        if info.name in inputs:
            scope[info.name] = _rows(info)
    walk.nodes(graph, scope, 0)
    found = {name: _verdict(scope.get(name)) for name in outputs}
    return Analysis({name: mixed for name, mixed in found.items() if mixed is not None})


def _rows(info: onnx.ValueInfoProto) -> Value:
    kind = info.type.tensor_type
    if not kind.HasField("shape") or not kind.shape.dim:
        return Mixed(f"the rank of '{info.name}' is not known")
    first, *rest = kind.shape.dim
    if first.HasField("dim_value") and first.dim_value >= 0:
        return Mixed(f"the first dimension of '{info.name}' is fixed")
    if any(first.dim_param and size.dim_param == first.dim_param for size in rest):
        return Mixed(f"'{info.name}' has the number of rows on another axis too")
    sizes = (size.dim_value if size.HasField("dim_value") and size.dim_value >= 0 else None for size in rest)
    return Tensor((N, *sizes))


def _verdict(value: Value | None) -> Mixed | None:
    if isinstance(value, Mixed):
        return value
    if isinstance(value, Tensor) and value.shape is not None and value.shape[:1] == (N,):
        return None
    return Mixed("it does not have its rows on the first axis")


class _Walk:
    """Through a graph and the branches in it."""

    def __init__(self, opsets: Mapping[str, int], functions: Collection[tuple[str, str]]) -> None:
        self._opsets = opsets
        self._functions = functions

    def constants(self, graph: onnx.GraphProto, scope: Scope) -> None:
        for initializer in graph.initializer:
            scope[initializer.name] = _constant(initializer)
        for sparse in graph.sparse_initializer:
            scope[sparse.values.name] = Tensor(tuple(sparse.dims))

    def nodes(self, graph: onnx.GraphProto, scope: Scope, depth: int) -> None:
        for number, node in enumerate(graph.node):
            values = self._made(node, scope, depth, node.name or f"number {number}")
            for name, value in zip(node.output, values, strict=False):
                scope[name] = value

    def _made(self, node: onnx.NodeProto, scope: Scope, depth: int, name: str) -> Sequence[Value]:
        inputs = [scope.get(source, _UNKNOWN) if source else None for source in node.input]
        given = [value for value in inputs if value is not None]
        mixed = [value for value in given if isinstance(value, Mixed)]
        if mixed:
            return [next((value for value in mixed if value.across), mixed[0])] * len(node.output)
        try:
            if node.op_type in alongside.RANDOM:
                raise Unproven("draws random numbers", across=True)
            if node.op_type == "If":
                made: Sequence[Value] = self._chosen(node, inputs, scope, depth)
            else:
                made = self._ruled(node, inputs)
        except Unproven as unproven:
            if self._is_plain(node) and all(map(_is_fixed, given)):
                return [_FIXED] * len(node.output)
            why = f"node '{name}' ({node.op_type}) {unproven.why}"
            made = [Mixed(why, unproven.across)]
        # What a rule does not speak of is as unproven as what has none.
        rest = Mixed(f"node '{name}' ({node.op_type}) has more outputs than are known")
        if len(made) == 1 and isinstance(made[0], Mixed):
            rest = made[0]
        return [*made, *[rest] * (len(node.output) - len(made))]

    @staticmethod
    def _is_plain(node: onnx.NodeProto) -> bool:
        """What it makes depends on its inputs, and on nothing else."""
        bodies = any(attribute.HasField("g") or len(attribute.graphs) for attribute in node.attribute)
        known = _domain(node.domain) in ("", "ai.onnx.ml")
        return known and not bodies and node.op_type not in (*alongside.RANDOM, "Dropout")

    def _ruled(self, node: onnx.NodeProto, inputs: Sequence[Value | None]) -> Sequence[Value]:
        domain = _domain(node.domain)
        if (domain, node.op_type) in self._functions:
            raise Unproven("is a function of the model's own")
        operation = Operation(node, inputs, self._opsets.get(domain, 1))
        if domain == "" and node.op_type == "Constant":
            return [_constant_node(node)]
        if domain == "" and node.op_type in counting.RULES and operation.count:
            counted = [operation.counts(index) for index in range(operation.count) if operation.given(index)]
            if any(isinstance(value, Counts) for value in inputs) or all(counted):
                try:
                    return counting.RULES[node.op_type](operation)
                except Unproven:
                    if any(isinstance(value, Counts) and N in value.elements for value in inputs[:1]):
                        raise
        rule = _RULES.get(domain, {}).get(node.op_type)
        if rule is None:
            raise Unproven("is not known to work row by row")
        return rule(operation)

    def _chosen(
        self, node: onnx.NodeProto, inputs: Sequence[Value | None], scope: Scope, depth: int
    ) -> Sequence[Value]:
        if depth >= _DEEPEST:
            raise Unproven("is nested too deeply")
        if not all(_is_fixed(value) for value in inputs if value is not None):
            raise Unproven("chooses for all rows at once", across=True)
        branches = []
        for attribute in node.attribute:
            inner = dict(scope)
            self.constants(attribute.g, inner)
            self.nodes(attribute.g, inner, depth + 1)
            branches.append([inner.get(output.name, _UNKNOWN) for output in attribute.g.output])
        if len(branches) != 2 or any(len(branch) != len(node.output) for branch in branches):
            raise Unproven("is not as it should be")
        return [_either(*pair) for pair in zip(*branches, strict=True)]


_UNKNOWN: Final = Mixed("it comes from nowhere")
_FIXED: Final = Tensor(None)


def _domain(name: str) -> str:
    return _RENAMED.get(name, name)


def _is_fixed(value: Value) -> bool:
    if isinstance(value, Tensor):
        return not value.by_row
    return isinstance(value, Counts) and N not in value.elements


def _either(one: Value, other: Value) -> Value:
    """What is true of both."""
    for value in (one, other):
        if isinstance(value, Mixed):
            return value
    if isinstance(one, Counts) and one == other:
        return one
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if _places(one.shape) == _places(other.shape) is not None:
            pairs = zip(one.shape or (), other.shape or (), strict=True)
            return Tensor(tuple(left if left == right else None for left, right in pairs))
        if not one.by_row and not other.by_row:
            return _FIXED
    if _is_fixed(one) and _is_fixed(other):
        return _FIXED
    return Mixed("the branches of an If are not alike")


def _places(shape: Shape | None) -> list[bool] | None:
    return None if shape is None else [size is N for size in shape]


def _constant(tensor: onnx.TensorProto) -> Tensor:
    import onnx

    shape = tuple(tensor.dims)
    external = tensor.data_location == onnx.TensorProto.EXTERNAL
    if external or np.prod(shape, dtype=np.int64) > _KEPT_ELEMENTS:
        return Tensor(shape)
    import onnx.numpy_helper

    try:
        return Tensor(shape, onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError):  # element types that NumPy does not have, sizes that do not fit
        return Tensor(shape)


def _constant_node(node: onnx.NodeProto) -> Tensor:
    for attribute in node.attribute:
        if attribute.name == "value":
            return _constant(attribute.t)
        if attribute.name == "value_int":
            return Tensor((), np.array(attribute.i, np.int64))
        if attribute.name == "value_ints":
            return Tensor((len(attribute.ints),), np.array(attribute.ints, np.int64))
        if attribute.name in ("value_float", "value_string"):
            return Tensor(())
        if attribute.name in ("value_floats", "value_strings"):
            return Tensor((len(attribute.floats) + len(attribute.strings),))
    return _FIXED
