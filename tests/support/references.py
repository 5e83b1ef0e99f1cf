"""Models with tensors in other files, in every place that ONNX's schema has for a tensor."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import onnx
from onnx import TensorProto, helper

from onnxd.tensors import Datatype
from tests.support.graphs import IR_VERSION, OPSET, tensor

WEIGHTS: Final = "weights.bin"
WIDTH: Final = 4
NEEDED: Final = 4 * WIDTH


def outside(
    name: str = "w",
    *,
    dims: Sequence[int] = (WIDTH,),
    element: int = TensorProto.FLOAT,
    entries: Sequence[tuple[str, str]] | None = None,
    **stated: str,
) -> TensorProto:
    """A tensor whose bytes are in another file: `weights.bin` from 0 on, unless stated otherwise."""
    outer = TensorProto(name=name, data_type=element, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in entries if entries is not None else {"location": WEIGHTS, **stated}.items():
        outer.external_data.add(key=key, value=value)
    return outer


def adding(*initializers: TensorProto, nodes: Sequence[Any] = (), **more: Any) -> onnx.ModelProto:
    """y = x + w (FP32 [batch, 4]), with these initializers; `w` must be among them to make it whole."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"]), *nodes],
        "test",
        [tensor("x", Datatype.FP32, ("batch", WIDTH))],
        [tensor("y", Datatype.FP32, ("batch", WIDTH))],
        list(initializers),
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, **more)


def bytes_of(model: onnx.ModelProto) -> bytes:
    return bytes(model.SerializeToString(deterministic=True))


def adding_outside(**stated: str) -> bytes:
    """y = x + w, with w in another file as stated."""
    return bytes_of(adding(outside(entries=[*{"location": WEIGHTS, **stated}.items()])))


def _inside(name: str = "w") -> TensorProto:
    return helper.make_tensor(name, TensorProto.FLOAT, [WIDTH], [1.0] * WIDTH)


def _branch(*initializers: TensorProto) -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node("Identity", ["x"], ["z"])], "branch", [], [tensor("z", 1, None)], initializers
    )


def _in_sparse(of: TensorProto) -> onnx.SparseTensorProto:
    indices = helper.make_tensor("", TensorProto.INT64, [1], [0])
    return onnx.SparseTensorProto(values=of, indices=indices, dims=[WIDTH])


def _with_attribute(**attributes: Any) -> onnx.ModelProto:
    node = helper.make_node("Constant", [], ["c"], name="holder")
    node.attribute.extend(onnx.AttributeProto(name=name, **value) for name, value in attributes.items())
    return adding(_inside(), nodes=[node])


def _in_function(of: TensorProto) -> onnx.ModelProto:
    node = helper.make_node("Constant", [], ["o"])
    node.attribute.append(onnx.AttributeProto(name="value", type=onnx.AttributeProto.TENSOR, t=of))
    function = helper.make_function("local", "F", [], ["o"], [node], [helper.make_opsetid("", OPSET)])
    return adding(_inside(), functions=[function])


def _in_function_default(of: TensorProto) -> onnx.ModelProto:
    model = _in_function(_inside(""))
    default = onnx.AttributeProto(name="default", type=onnx.AttributeProto.TENSOR, t=of)
    model.functions[0].attribute_proto.append(default)
    return model


def _in_sparse_initializer(of: TensorProto) -> onnx.ModelProto:
    model = adding(_inside())
    model.graph.sparse_initializer.append(_in_sparse(of))
    return model


def _in_indices(of: TensorProto) -> onnx.ModelProto:
    model = adding(_inside())
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [0.0])
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=values, indices=of, dims=[WIDTH]))
    return model


def _in_branch(of: TensorProto) -> onnx.ModelProto:
    inner = helper.make_node("If", ["c"], ["z"], then_branch=_branch(of), else_branch=_branch())
    outer = helper.make_graph([inner], "outer", [], [tensor("z", 1, None)])
    node = helper.make_node("If", ["c"], ["z"], name="if", then_branch=outer, else_branch=_branch())
    return adding(_inside(), nodes=[node])


def _in_graphs(of: TensorProto) -> onnx.ModelProto:
    return _with_attribute(bodies={"type": onnx.AttributeProto.GRAPHS, "graphs": [_branch(), _branch(of)]})


def _in_training(of: TensorProto) -> onnx.ModelProto:
    model = adding(_inside())
    model.training_info.add().algorithm.CopyFrom(_branch(of))
    return model


def _in_attribute(kind: str, wrap: Callable[[TensorProto], Any]) -> Callable[[TensorProto], onnx.ModelProto]:
    def build(of: TensorProto) -> onnx.ModelProto:
        return _with_attribute(value={kind: wrap(of)})

    return build


PLACES: Final[Mapping[str, Callable[[TensorProto], onnx.ModelProto]]] = {
    "an initializer": lambda of: adding(_inside(), of),
    "a sparse initializer": _in_sparse_initializer,
    "the indices of a sparse initializer": _in_indices,
    "an attribute": _in_attribute("t", lambda of: of),
    "a list in an attribute": _in_attribute("tensors", lambda of: [_inside("a"), of]),
    "a sparse tensor in an attribute": _in_attribute("sparse_tensor", _in_sparse),
    "a list of sparse tensors": _in_attribute("sparse_tensors", lambda of: [_in_sparse(of)]),
    "a branch within a branch": _in_branch,
    "a list of graphs": _in_graphs,
    "a function": _in_function,
    "the default of a function's attribute": _in_function_default,
    "a training graph": _in_training,
}
"""Models that have a tensor in this place, and are harmless without it."""


def compiled(location: str, *, embedded: int = 0) -> bytes:
    """A model whose node refers to a graph that was compiled for some device before."""
    node = helper.make_node(
        "EPContext", ["x"], ["z"], "context", domain="com.microsoft",
        embed_mode=embedded, ep_cache_context=location.encode(),
    )  # fmt: skip
    return bytes_of(adding(_inside(), nodes=[node]))
