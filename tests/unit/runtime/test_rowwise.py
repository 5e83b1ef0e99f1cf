"""Whether a graph works row by row, from its nodes alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from onnxd.runtime.rowwise.analysis import Analysis, analyse
from onnxd.runtime.rowwise.indices import index_bounds
from onnxd.tensors import Array, Datatype
from tests.support import graphs
from tests.support.counterexamples import COUNTEREXAMPLES, node, rows
from tests.support.independent import INDEPENDENT, PROBED, tokens


def analysed(graph: bytes) -> Analysis:
    model = onnx.load_from_string(graph)
    constants = {each.name for each in model.graph.initializer}
    inputs = [each.name for each in model.graph.input if each.name not in constants]
    return analyse(model, inputs, [each.name for each in model.graph.output])


def small(
    nodes: Sequence[Any],
    constants: Mapping[str, Array] | None = None,
    dims: graphs.Dims = ("batch", 4),
    *,
    opset: int = graphs.OPSET,
    more: Sequence[Any] = (),
) -> Analysis:
    """Of a graph from x to y whose y has any shape."""
    return analysed(
        graphs.model(
            nodes,
            [graphs.tensor("x", Datatype.FP32, dims), *more],
            [graphs.tensor("y", Datatype.FP32, None)],
            constants,
            opset=opset,
        )
    )


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def zeros(*shape: int) -> Array:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize("name", COUNTEREXAMPLES)
def test_no_counterexample_is_proven(name: str) -> None:
    assert analysed(COUNTEREXAMPLES[name]()).unproven


@pytest.mark.parametrize("name", INDEPENDENT)
def test_what_works_row_by_row_is_proven(name: str) -> None:
    assert analysed(INDEPENDENT[name]()).unproven == {}


@pytest.mark.parametrize("name", PROBED)
def test_what_is_only_not_known_is_not_said_to_work_across_the_rows(name: str) -> None:
    found = analysed(PROBED[name]())
    assert found.unproven
    assert found.across == ""


def test_a_node_that_works_across_the_rows_is_named() -> None:
    found = analysed(graphs.minus_batch_mean())
    assert found.across == "node 'number 0' (ReduceMean) reduces along the rows"


def test_each_output_has_its_own_verdict() -> None:
    found = analysed(
        graphs.model(
            [node("Relu", "x", "good"), node("ReduceMax", "x zero", "bad")],
            [graphs.tensor("x", Datatype.FP32, ("batch", 4))],
            [graphs.tensor("good", Datatype.FP32, ("batch", 4)), graphs.tensor("bad", Datatype.FP32, (1, 4))],
            {"zero": ints(0)},
        )
    )
    assert list(found.unproven) == ["bad"]


# A case a line: what a naive reading would get wrong.

BY_ROW: dict[str, Analysis] = {
    "constants without the rows' axis": small([node("Add", "x c", "y")], {"c": zeros(4)}),
    "constants of one row": small([node("Add", "x c", "y")], {"c": zeros(1, 4)}),
    "softmax of old, over all axes behind the first": small([node("Softmax", "x", "y")], opset=11),
    "reduction along the last axis": small([node("ReduceSum", "x a", "y")], {"a": ints(-1)}),
    "reduction along no axis": small([node("ReduceSum", "x", "y", noop_with_empty_axes=1)]),
    "reshape that keeps the first size": small(
        [node("Reshape", "x s", "y")], {"s": ints(0, 2, -1)}, ("batch", 4)
    ),
    "reshape that leaves the rows over": small([node("Reshape", "x s", "y")], {"s": ints(-1, 2, 2)}),
    "reshape by the number of rows": small(
        [
            node("Shape", "x", "n", start=0, end=1),
            node("Concat", "n rest", "s", axis=0),
            node("Reshape", "x s", "y"),
        ],
        {"rest": ints(-1)},
        ("batch", "a", "b"),
    ),
    "transposed and back": small(
        [node("Transpose", "x", "t", perm=[1, 0]), node("Relu", "t", "r"), node("Transpose", "r", "y")]
    ),
    "softmax of what is transposed": small(
        [
            node("Transpose", "x", "t", perm=[1, 0]),
            node("Softmax", "t", "s", axis=0),
            node("Transpose", "s", "y"),
        ]
    ),
    "a slice of all rows": small(
        [node("Slice", "x s e a", "y")], {"s": ints(0, 1), "e": ints(2**31 - 1, 3), "a": ints(0, 1)}
    ),
    "products within rows": small(
        [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "y")], dims=("batch", 3, 4)
    ),
    "einsum with its rows in the result": small(
        [node("Einsum", "x w", "y", equation="bi,io->bo")], {"w": zeros(4, 2)}
    ),
    "dropout that is none": small([node("Dropout", "x", "y")]),
    "padding beside the rows": small([node("Pad", "x p", "y")], {"p": ints(0, 1, 0, 1)}),
    "resized images": small(
        [node("Resize", "x - s", "y")], {"s": np.array([1, 1, 2, 2], np.float32)}, ("batch", 3, "h", "w")
    ),
    "quantised with a fixed scale": small(
        [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "y")],
        {"s": np.array(0.1, np.float32), "z": np.array(3, np.uint8)},
    ),
    "positions along the length": small(
        [
            node("Shape", "x", "l", start=1, end=2),
            node("Squeeze", "l", "length"),
            node("Range", "zero length one", "p"),
            node("Gather", "table p", "e"),
            node("Add", "x e", "y"),
        ],
        {"zero": np.array(0), "one": np.array(1), "table": zeros(9, 4)},
        ("batch", "length", 4),
    ),
}
NOT_BY_ROW: dict[str, Analysis] = {
    "constants for each row": small([node("Add", "x c", "y")], {"c": zeros(3, 4)}),
    "constants with an axis before the rows": small([node("Add", "x c", "y")], {"c": zeros(3, 1, 4)}),
    "a constant vector on the rows' axis": small([node("Add", "x c", "y")], {"c": zeros(4)}, ("batch",)),
    "softmax of a vector of rows": small([node("Softmax", "x", "y")], dims=("batch",)),
    "softmax of old, over all axes": small([node("Softmax", "x", "y", axis=0)], opset=11),
    "reduction over everything": small([node("ReduceSum", "x", "y")]),
    "reduction by a negative axis": small([node("ReduceSum", "x a", "y")], {"a": ints(-2)}),
    "argmax, whose axis is the first by default": small([node("ArgMax", "x", "y")]),
    "reshape that joins rows": small([node("Reshape", "x s", "y")], {"s": ints(-1, 8)}),
    "reshape that fixes the rows": small([node("Reshape", "x s", "y")], {"s": ints(1, 4)}),
    "reshape to what need not be the row": small(
        [node("Reshape", "x s", "y")], {"s": ints(-1, 4)}, ("batch", "length")
    ),
    "reshape to less than the row": small([node("Reshape", "x s", "y")], {"s": ints(0, 2)}),
    "zero that is a size": small([node("Reshape", "x s", "y", allowzero=1)], {"s": ints(0, 4)}),
    "a constant cut into rows": small(
        [
            node("Shape", "x", "n", start=0, end=1),
            node("Concat", "n minus", "s", axis=0),
            node("Reshape", "c s", "d"),
            node("Add", "x d", "y"),
        ],
        {"minus": ints(-1), "c": zeros(64)},
    ),
    "flattened to one": small([node("Flatten", "x", "y", axis=0)]),
    "squeezed wherever it is 1": small([node("Squeeze", "x", "y")], dims=("batch", 4)),
    "rows times rows": small([node("Transpose", "x", "t"), node("MatMul", "x t", "y")]),
    "an outer sum of rows": small([node("Unsqueeze", "x a", "u"), node("Add", "x u", "y")], {"a": ints(1)}),
    "einsum over the rows": small([node("Einsum", "x x", "y", equation="bi,bj->ij")]),
    "einsum of rows with rows": small([node("Einsum", "x x", "y", equation="ai,bi->ab")]),
    "places of a pooling": small([node("MaxPool", "x p", "q y", kernel_shape=[2])], dims=("batch", 2, 8)),
    "a batch norm with more outputs": small(
        [node("BatchNormalization", "x s s s s", "y m v", training_mode=1)], {"s": zeros(4)}
    ),
    "layer norm from the first axis on": small(
        [node("LayerNormalization", "x s", "y", axis=0)], {"s": zeros(4)}
    ),
    "a slice that leaves rows out": small(
        [node("Slice", "x s e a", "y")], {"s": ints(0), "e": ints(8), "a": ints(0)}
    ),
    "rows backwards": small(
        [node("Slice", "x s e a t", "y")], {"s": ints(-1), "e": ints(-(2**31)), "a": ints(0), "t": ints(-1)}
    ),
    "the last dimension's share of the rows": small([node("Split", "x", "a y", axis=0)]),
    "rows behind rows": small([node("Concat", "x x", "y", axis=0)]),
    "tiled rows": small([node("Tile", "x r", "y")], {"r": ints(2, 1)}),
    "padded rows": small([node("Pad", "x p", "y")], {"p": ints(0, 0, 1, 0)}),
    "resized along the rows": small(
        [node("Resize", "x - s", "y")], {"s": np.array([2, 1], np.float32)}, ("batch", 3)
    ),
    "a scale for each row": small(
        [node("DequantizeLinear", "q s", "y", axis=0)],
        {"s": zeros(4)},
        more=[graphs.tensor("q", Datatype.INT8, ("batch", 4))],
    ),
    "picked by rows from rows": small(
        [node("Gather", "x i", "y")], more=[graphs.tensor("i", Datatype.INT64, ("batch",))]
    ),
    "the transpose itself": small([node("Transpose", "x", "y")]),
    "an output without rows": small([node("Identity", "c", "y")], {"c": zeros(1, 4)}),
    "the number of rows": small([node("Shape", "x", "y", start=0, end=1)]),
    "a triangle over the rows": small([node("Trilu", "x", "y")]),
    "an unknown operator": small([node("Unheard", "x", "y")]),
    "a symbol on two axes": small([node("Relu", "x", "y")], dims=("batch", "batch")),
    "a fixed first dimension": small([node("Relu", "x", "y")], dims=(1, 4)),
    "no rank": small([node("Relu", "x", "y")], dims=()),
}


@pytest.mark.parametrize("case", BY_ROW)
def test_row_by_row(case: str) -> None:
    assert BY_ROW[case].unproven == {}


@pytest.mark.parametrize("case", NOT_BY_ROW)
def test_not_row_by_row(case: str) -> None:
    assert NOT_BY_ROW[case].unproven


def test_a_branch_is_proven_when_both_are_and_the_condition_is_no_matter_of_the_rows() -> None:
    def branched(other: Any) -> bytes:
        output = [graphs.tensor("b", Datatype.FP32, ("batch", 4))]
        then = helper.make_graph([node("Relu", "x", "b")], "then", [], output)
        return rows(
            node(
                "If", "true", "y", then_branch=then, else_branch=helper.make_graph([other], "e", [], output)
            ),
            true=np.array(True),
        )

    assert analysed(branched(node("Neg", "x", "b"))).unproven == {}
    assert analysed(branched(node("Softmax", "x", "b", axis=0))).unproven


def test_an_initializer_that_is_also_an_input_is_taken_for_its_value() -> None:
    assert analysed(graphs.optional_initializer()).unproven == {}


def test_a_first_dimension_of_minus_1_is_free() -> None:
    assert small([node("Relu", "x", "y")], dims=(-1, 4)).unproven == {}


def test_what_is_random_is_not_taken_for_constant() -> None:
    found = small([node("RandomNormal", "", "r", shape=[4]), node("Add", "x r", "y")])
    assert "draws random numbers" in found.across


def test_a_function_of_the_model_itself_proves_nothing() -> None:
    model = onnx.load_from_string(rows(helper.make_node("Relu", ["x"], ["y"], domain="own")))
    model.functions.append(
        helper.make_function("own", "Relu", ["a"], ["b"], [node("Softmax", "a", "b", axis=0)], [])
    )
    assert "function" in analysed(model.SerializeToString()).unproven["y"].why


def test_places_in_a_table_are_known_through_what_keeps_them() -> None:
    assert index_bounds(onnx.load_from_string(tokens(11))) == {"x": 11}
    found = graphs.model(
        [
            node("Cast", "x", "c", to=7),
            node("Unsqueeze", "c a", "u"),
            node("Gather", "t u", "y", axis=1),
            node("Gather", "s u", "z"),
        ],
        [graphs.tensor("x", Datatype.INT32, ("n",))],
        [graphs.tensor("y", Datatype.FP32, None), graphs.tensor("z", Datatype.FP32, None)],
        {"a": ints(0), "t": zeros(2, 7), "s": zeros(5, 1)},
    )
    assert index_bounds(onnx.load_from_string(found)) == {"x": 5}
    assert index_bounds(onnx.load_from_string(graphs.mlp())) == {}
