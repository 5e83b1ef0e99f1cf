"""What is asked about a model's rows, and of which it is not worth asking."""

import pytest

from onnxd.repository.config_file import parse_model_config
from onnxd.repository.model_spec import merge
from onnxd.repository.row_question import Unlike, ask_rows, check_first_dimensions
from onnxd.runtime.graph import GraphSpec, GraphTensor
from onnxd.runtime.made_up import RowInput
from onnxd.runtime.row_inquiry import RowQuestion
from onnxd.tensors import Datatype

FP32 = Datatype.FP32
Dim = int | str | None


def tensor(name: str, *dims: Dim) -> GraphTensor:
    """A text is a symbol, None a free dimension without one."""
    return GraphTensor(
        name,
        FP32,
        tuple(size if isinstance(size, int) else -1 for size in dims),
        tuple(size if isinstance(size, str) else None for size in dims),
    )


def asked(graph: GraphSpec, text: str = "", *, assumed: bool = True) -> RowQuestion:
    loaded = parse_model_config(text.encode())
    check_first_dimensions(loaded.config, graph)
    return ask_rows(merge("m", 1, loaded, graph, proven_rows=32), graph, assumed=assumed)


def why_not(graph: GraphSpec, text: str = "") -> str:
    with pytest.raises(Unlike) as caught:
        asked(graph, text)
    return str(caught.value)


def test_the_question_is_about_rows_as_the_config_narrows_them() -> None:
    graph = GraphSpec((tensor("x", "n", "length", 3),), (tensor("y", "n", 2), tensor("z", "n")))
    assert asked(graph, "inputs: [{name: x, shape: [7, 3]}]\noutputs: [{name: y}]") == RowQuestion(
        (RowInput("x", FP32, (7, 3), ("length", None)),), {"y": FP32}, 32
    )


@pytest.mark.parametrize(
    "dims",
    [
        ("batch", "batch"),
        (None, None),
        ("batch", None),
        ("unk__214", "unk__215"),
        ("p2o.DynamicDimension.0", "p2o.DynamicDimension.3"),
        ("batch", "Softmaxy_dim_0"),
    ],
)
def test_first_dimensions_that_may_be_the_same(dims: tuple[Dim, Dim]) -> None:
    asked(GraphSpec((tensor("x", dims[0], 4),), (tensor("y", dims[1], 4),)))


def test_first_dimensions_that_are_not_the_same() -> None:
    graph = GraphSpec((tensor("x", "batch", 4),), (tensor("u", None), tensor("y", "words", 4)))
    assert why_not(graph) == (
        "input 'x' and output 'y' do not have the same first dimension: "
        "the graph calls it 'batch' and 'words'"
    )
    asked(graph, assumed=False)
    asked(graph, "outputs: [{name: u}]")


def test_a_fixed_first_dimension_and_none_at_all() -> None:
    outputs = (tensor("y", "n", 4),)
    for lone in (tensor("s", 1, 4), tensor("s")):
        assert why_not(GraphSpec((tensor("x", "n", 4), lone), outputs)) == (
            "input 's' has no free first dimension in the graph"
        )
    scale = tensor("scale", 1)
    asked(GraphSpec((tensor("x", "n", 4),), outputs, (scale,)))
    graph = GraphSpec((tensor("x", "n", 4),), outputs, (scale,))
    assert "'scale' has no free" in why_not(graph, "inputs: [{name: scale, optional: true}]")


def test_a_symbol_that_is_on_another_axis_too() -> None:
    assert "on another axis too" in why_not(
        GraphSpec((tensor("x", "n", 4),), (tensor("y", "n", "n"),)),
    )


def test_vectors_whose_only_dimension_may_be_their_length() -> None:
    assert "vectors" in why_not(GraphSpec((tensor("x", "n"),), (tensor("y", "n"),)))
    asked(GraphSpec((tensor("x", "n"), tensor("t", "n", 2)), (tensor("y", "n"),)))


def test_a_model_without_inputs() -> None:
    assert why_not(GraphSpec((), (tensor("y", "n"),))) == "the model takes no inputs"
