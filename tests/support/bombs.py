"""Graphs that cost far more than their files say, or that no reader gets through."""

import itertools
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from onnxd.tensors import Datatype
from tests.support.graphs import IR_VERSION, OPSET, model, tensor

TEN_GB_OF_FLOATS = 5 * 2**29


def claimed_initializer() -> bytes:
    """An initializer that claims ten gigabytes and brings sixteen bytes."""
    claimed = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[TEN_GB_OF_FLOATS], raw_data=bytes(16))
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "test",
        [tensor("x", Datatype.FP32, ("batch", 1))],
        [tensor("y", Datatype.FP32, None)],
        [claimed],
    )
    return _bytes(graph)


def claimed_constant() -> bytes:
    """A node that makes ten gigabytes out of one number."""
    return model(
        [helper.make_node("ConstantOfShape", ["size"], ["w"]), helper.make_node("Add", ["x", "w"], ["y"])],
        [tensor("x", Datatype.FP32, ("batch", 1))],
        [tensor("y", Datatype.FP32, None)],
        {"size": np.array([TEN_GB_OF_FLOATS], np.int64)},
    )


def many_nodes(count: int) -> bytes:
    """A chain of so many nodes. Written as bytes: building it from objects would take minutes."""
    nodes = b"".join(
        _field(1, b"\x0a\x07%07x\x12\x07%07x\x22\x08Identity" % (at, at + 1)) for at in range(count)
    )
    ends = _field(11, _info(f"{0:07x}")) + _field(12, _info(f"{count:07x}"))
    return _model(nodes + _field(2, b"test") + ends)


def deep(levels: int) -> bytes:
    """Ifs within Ifs, so many levels deep, from the inside out."""
    result = _field(12, tensor("z", Datatype.FP32, None).SerializeToString())
    innermost = _field(1, b"\x0a\x01x\x12\x01z\x22\x08Identity") + result
    other = _field(5, _field(1, b"else_branch") + _field(6, innermost) + b"\xa0\x01\x05")
    before: list[bytes] = []
    after: list[bytes] = []
    size = len(innermost)

    def wrap(number: int, head: bytes, tail: bytes) -> None:
        """Put what there is into a field, with these bytes around it."""
        nonlocal size
        before.append(_key(number, len(head) + size + len(tail)) + head)
        after.append(tail)
        size += len(before[-1]) + len(tail)

    for _ in range(levels):
        wrap(6, b"", b"")
        wrap(5, _field(1, b"then_branch"), b"\xa0\x01\x05")
        wrap(1, b"\x0a\x01c\x12\x01z\x22\x02If", other)
        after[-1] += result
        size += len(result)
    graph = b"".join((*reversed(before), innermost, *after))
    condition = tensor("c", Datatype.BOOL, ()).SerializeToString()
    return _model(graph + _field(2, b"test") + _field(11, _info("x")) + _field(11, condition))


def recursive_functions(*names: str) -> bytes:
    """Functions of which each calls the next, and the last the first."""
    calls = itertools.pairwise((*names, names[0]))
    functions = [_function(name, [_call(called, "i", "o")]) for name, called in calls]
    return _bytes(_calling(names[0]), functions=functions)


def doubling_functions(count: int) -> bytes:
    """Functions of which each calls the one before twice: 2 to the power of `count` nodes in all."""
    functions = [_function("F0", [helper.make_node("Add", ["i", "i"], ["o"])])]
    functions += [
        _function(f"F{at}", [_call(f"F{at - 1}", "i", "m"), _call(f"F{at - 1}", "m", "o")])
        for at in range(1, count)
    ]
    return _bytes(_calling(f"F{count - 1}"), functions=functions)


def _call(name: str, given: str, made: str) -> Any:
    return helper.make_node(name, [given], [made], domain="local")


def _function(name: str, nodes: list[Any]) -> Any:
    return helper.make_function("local", name, ["i"], ["o"], nodes, _opsets())


def _calling(name: str) -> Any:
    shape = ("batch", 4)
    return helper.make_graph(
        [_call(name, "x", "y")],
        "test",
        [tensor("x", Datatype.FP32, shape)],
        [tensor("y", Datatype.FP32, shape)],
    )


def _bytes(graph: Any, **more: Any) -> bytes:
    built = helper.make_model(graph, opset_imports=_opsets(), ir_version=IR_VERSION, **more)
    return bytes(built.SerializeToString(deterministic=True))


def _opsets() -> list[Any]:
    return [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1)]


def _model(graph: bytes) -> bytes:
    return bytes([0x08, IR_VERSION]) + _field(7, graph) + _field(8, bytes([0x10, OPSET]))


def _info(name: str) -> bytes:
    return bytes(tensor(name, Datatype.FP32, ("batch", 4)).SerializeToString())


def _field(number: int, content: bytes) -> bytes:
    return _key(number, len(content)) + content


def _key(number: int, size: int) -> bytes:
    """The head of a field that holds so many bytes."""
    return _varint(number << 3 | 2) + _varint(size)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
