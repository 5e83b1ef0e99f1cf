"""Which graphs could let a request harm the process that runs them."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxd.errors import LoadFailed
from onnxd.runtime.risks import Risks, risks
from onnxd.tensors import Datatype
from tests.support import graphs
from tests.support.graphs import model, tensor

INT32, INT64, FP32 = Datatype.INT32, Datatype.INT64, Datatype.FP32
node = helper.make_node


def found(tmp_path: Path, graph: bytes, sent: Sequence[str] = ("x",)) -> Risks:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph)
    return risks(path, sent)


def graph_of(
    *nodes: Any,
    constants: Mapping[str, np.ndarray[Any, Any]] | None = None,
    x: Datatype = INT64,
    y: Datatype = INT64,
) -> bytes:
    """y from x [n] by these nodes."""
    return model(list(nodes), [tensor("x", x, ("n",))], [tensor("y", y, None)], constants)


def whole(*values: int, kind: Datatype = INT64) -> np.ndarray[Any, Any]:
    return np.array(values, kind.dtype)


def divided_by(*divisor: int, kind: Datatype = INT64) -> bytes:
    return graph_of(
        node("Div", ["x", "by"], ["y"]), constants={"by": whole(*divisor, kind=kind)}, x=kind, y=kind
    )


def function_with(*nodes: Any, x: Datatype = INT64) -> bytes:
    """y = f(x), where f is a function of the model's own."""
    function = helper.make_function(
        "own", "f", ["a"], ["b"], list(nodes), [helper.make_opsetid("", graphs.OPSET)]
    )
    graph = helper.make_graph(
        [node("f", ["x"], ["y"], domain="own")], "g", [tensor("x", x, ("n",))], [tensor("y", x, ("n",))]
    )
    opsets = [helper.make_opsetid("", graphs.OPSET), helper.make_opsetid("own", 1)]
    built = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=graphs.IR_VERSION)
    return bytes(built.SerializeToString())


def branch(*nodes: Any) -> Any:
    return helper.make_graph(list(nodes), "branch", [], [tensor("out", INT64, None)])


def loop(*, count: str, collects: bool, condition: str = "yes", goes_on: str = "going") -> bytes:
    """A Loop over x; `collects`: one number of each round."""
    outputs = ["carried", "made"] if collects else ["carried"]
    body = helper.make_graph(
        [
            node("Identity", ["was"], ["is"]),
            node("Identity", [goes_on], ["again"]),
            *([node("Identity", ["round"], ["one"])] if collects else []),
        ],
        "body",
        [tensor("round", INT64, ()), tensor("going", Datatype.BOOL, ()), tensor("was", INT64, None)],
        [
            tensor("again", Datatype.BOOL, ()),
            tensor("is", INT64, None),
            *([tensor("one", INT64, ())] if collects else []),
        ],
    )
    return graph_of(
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Size", ["x"], ["size"]),
        node("Equal", ["sum", "size"], ["odd"]),
        node("Loop", [count, condition, "x"], outputs, body=body),
        node("Identity", [outputs[-1]], ["y"]),
        constants={"yes": np.array(True), "few": np.array(10), "endless": np.array(2**63 - 1)},
    )


SMALLEST: Final = np.iinfo(np.int64).min

RISKY: Final[dict[str, tuple[bytes, str]]] = {
    **{
        f"Div of {kind.value}": (
            graphs.int_div(kind),
            f"Div 'y' divides {kind.value} by what may be -1",
        )
        for kind in (Datatype.INT8, Datatype.INT16, INT32, INT64)
    },
    "Div by -1": (divided_by(-1), "Div 'y' divides INT64"),
    "Div by a table with -1 in it": (divided_by(1, 2, -1), "Div 'y' divides INT64"),
    "Div of the smallest number": (
        graph_of(node("Div", ["least", "x"], ["y"]), constants={"least": whole(SMALLEST)}),
        "Div 'y' divides INT64",
    ),
    "Div that kills at the first run": (graphs.deadly(), "Div 'y' divides INT32"),
    "Div by a difference of sizes": (
        graph_of(
            node("Shape", ["x"], ["shape"]), node("Sub", ["shape", "one"], ["less"]),
            node("Div", ["x", "less"], ["y"]), constants={"one": whole(1)},
        ),
        "Div 'y' divides INT64",
    ),
    "Div in a branch": (
        graph_of(
            node("ReduceMax", ["x"], ["most"], keepdims=0),
            node("Cast", ["most"], ["big"], to=TensorProto.BOOL),
            node(
                "If", ["big"], ["y"],
                then_branch=branch(node("Div", ["x", "x"], ["out"], name="inner")),
                else_branch=branch(node("Identity", ["x"], ["out"])),
            ),
        ),
        "Div 'inner' divides INT64",
    ),
    "Div in a function": (function_with(node("Div", ["a", "a"], ["b"])), "divides INT64"),
    "Div of an unknown type": (
        model(
            [node("Mystery", ["x"], ["a"], domain="com.example"), node("Div", ["a", "a"], ["y"])],
            [tensor("x", FP32, ("n",))], [helper.make_empty_tensor_value_info("y")],
            other_domains=["com.example"],
        ),
        "divides numbers of a type that is not known",
    ),
    "Expand": (graphs.expand_to(), "the size of what Expand 'y' makes"),
    "Expand to what is computed of values": (
        graph_of(
            node("Mul", ["x", "two"], ["twice"]), node("Reshape", ["twice", "flat"], ["shape"]),
            node("Expand", ["two", "shape"], ["y"]), constants={"two": whole(2), "flat": whole(-1)},
        ),
        "the size of what Expand 'y' makes",
    ),
    "Range": (
        graph_of(
            node("ReduceSum", ["x"], ["sum"], keepdims=0), node("Range", ["zero", "sum", "one"], ["y"]),
            constants={"zero": np.array(0), "one": np.array(1)},
        ),
        "Range 'y'",
    ),
    "Tile": (graph_of(node("Tile", ["one", "x"], ["y"]), constants={"one": whole(1)}), "Tile 'y'"),
    "ConstantOfShape": (graph_of(node("ConstantOfShape", ["x"], ["y"]), y=FP32), "ConstantOfShape 'y'"),
    "OneHot": (
        graph_of(
            node("ReduceSum", ["x"], ["depth"], keepdims=0), node("OneHot", ["x", "depth", "values"], ["y"]),
            constants={"values": whole(0, 1)},
        ),
        "OneHot 'y'",
    ),
    "Pad": (graph_of(node("Pad", ["one", "x"], ["y"]), constants={"one": whole(1)}), "Pad 'y'"),
    "Resize": (
        graph_of(
            node("Resize", ["one", "", "", "x"], ["y"]), constants={"one": np.ones(1, np.float32)}, y=FP32
        ),
        "Resize 'y'",
    ),
    "Expand in a function": (
        function_with(node("Shape", ["a"], ["unused"]), node("Expand", ["a", "a"], ["b"])), "Expand"
    ),
    "a Loop that collects as often as it is told": (
        loop(count="sum", collects=True), "the size of what Loop 'carried' collects"
    ),
    "a Loop that collects while it is told": (
        loop(count="endless", condition="odd", collects=True), "the size of what Loop 'carried' collects"
    ),
    "a Loop that collects while its body says so": (
        loop(count="", goes_on="odd", collects=True), "the size of what Loop 'carried' collects"
    ),
}  # fmt: skip

HARMLESS: Final[dict[str, bytes]] = {
    "no suspect at all": graphs.mlp(),
    "Div of FP32": graph_of(node("Div", ["x", "x"], ["y"]), x=FP32, y=FP32),
    **{f"Div of {kind.value}": graphs.int_div(kind) for kind in (Datatype.UINT8, Datatype.UINT64)},
    "Div by 7": divided_by(7),
    "Div by 0, which is an error": divided_by(0),
    "Div by -2": divided_by(-2),
    "Div by a table without -1": divided_by(1, 0, -3, kind=INT32),
    "Div of a constant that is not the smallest": graph_of(
        node("Div", ["ten", "x"], ["y"]), constants={"ten": whole(10)}
    ),
    "Div of sizes": graph_of(
        node("Shape", ["x"], ["shape"]), node("Gather", ["shape", "zero"], ["rows"], axis=0),
        node("Div", ["x", "rows"], ["y"]), constants={"zero": np.array(0)},
    ),
    "Div by a constant that has been reshaped": graph_of(
        node("Unsqueeze", ["by", "zero"], ["row"]), node("Div", ["x", "row"], ["y"]),
        constants={"by": whole(4), "zero": whole(0)},
    ),
    "Div by a constant of a node": graph_of(
        node("Constant", [], ["by"], value_int=3), node("Div", ["x", "by"], ["y"])
    ),
    "Div of FP32 behind an operator that ONNX does not know": model(
        [node("Mystery", ["x"], ["a"], domain="com.example"), node("Div", ["a", "two"], ["y"])],
        [tensor("x", FP32, ("n",))], [tensor("y", FP32, ("n",))], {"two": np.array(2, np.float32)},
        other_domains=["com.example"],
    ),
    "Div of FP32 in a function": function_with(node("Div", ["a", "a"], ["b"]), x=FP32),
    "Expand to a constant": graph_of(
        node("Expand", ["x", "ten"], ["y"]), constants={"ten": whole(10)}
    ),
    "Expand to the shape of an input": graphs.row_constant(1),
    "Reshape as told, which keeps the count": graph_of(node("Reshape", ["x", "x"], ["y"])),
    "NonZero, which gives no more than there is": graphs.non_zero(),
    "Range over a size": graph_of(
        node("Size", ["x"], ["size"]), node("Range", ["zero", "size", "one"], ["y"]),
        constants={"zero": np.array(0), "one": np.array(1)},
    ),
    "Pad as an attribute says": model(
        [node("Pad", ["x"], ["y"], pads=[0, 4])],
        [tensor("x", FP32, ("n",))], [tensor("y", FP32, None)], opset=2,
    ),
    "a Loop that carries as often as it is told": loop(count="sum", collects=False),
    "a Loop that collects once for each element": loop(count="size", collects=True),
    "a Loop that collects a few times": loop(count="few", condition="odd", collects=True),
}  # fmt: skip


@pytest.mark.parametrize(("graph", "reason"), RISKY.values(), ids=RISKY.keys())
def test_a_graph_that_a_request_can_use_is_found(tmp_path: Path, graph: bytes, reason: str) -> None:
    risky = found(tmp_path, graph, ("x", "a", "b"))
    kind = risky.crashes if "divides" in reason else risky.sizes
    assert [text for text in kind if reason in text], risky


@pytest.mark.parametrize("graph", HARMLESS.values(), ids=HARMLESS.keys())
def test_a_graph_that_no_request_can_use_is_left_alone(tmp_path: Path, graph: bytes) -> None:
    assert found(tmp_path, graph, ("x", "a", "b")) == Risks()


def test_an_input_with_a_default_counts_when_clients_may_send_it(tmp_path: Path) -> None:
    graph = model(
        [node("Expand", ["x", "shape"], ["y"])],
        [tensor("x", FP32, (1,)), tensor("shape", INT64, (1,))],
        [tensor("y", FP32, None)],
        {"shape": whole(10)},
    )
    assert found(tmp_path, graph, ("x",)) == Risks()
    assert len(found(tmp_path, graph, ("x", "shape")).sizes) == 1


def test_a_divisor_that_is_kept_beside_the_file_is_not_known(tmp_path: Path) -> None:
    built = onnx.load_from_string(divided_by(7))
    onnx.external_data_helper.convert_model_to_external_data(built, location="w", size_threshold=0)
    onnx.save_model(built, str(tmp_path / "model.onnx"))
    assert len(risks(tmp_path / "model.onnx", ["x"]).crashes) == 1


def test_a_divisor_that_is_large_is_not_looked_into(tmp_path: Path) -> None:
    assert len(found(tmp_path, divided_by(*range(1, 20_000))).crashes) == 1


def test_each_node_is_told_once(tmp_path: Path) -> None:
    names = ["x", *(f"v{number}" for number in range(9)), "y"]
    chain = [node("Div", [a, "x"], [b]) for a, b in itertools.pairwise(names)]
    assert len(found(tmp_path, graph_of(*chain)).crashes) == 10


def test_a_finding_is_read_back_and_anything_else_is_refused() -> None:
    assert Risks.of({"crashes": ["a"], "sizes": []}) == Risks(crashes=("a",))
    others: list[dict[str, Any]] = [{}, {"crashes": 1, "sizes": []}, {"sizes": []}]
    for other in others:
        with pytest.raises(LoadFailed, match="cannot be read"):
            Risks.of(other)


def test_what_cannot_be_read_is_a_risk(tmp_path: Path) -> None:
    unreadable = found(tmp_path, b"ORTM with a Div in it, in a format of its own")
    assert unreadable.crashes == ("it is in ONNX Runtime's own format, whose operators are not read",)
