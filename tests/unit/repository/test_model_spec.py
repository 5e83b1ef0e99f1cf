"""Graph and config -> ModelSpec, or all that they disagree on."""

from pathlib import Path

import pytest

from onnxd.errors import LoadFailed
from onnxd.repository.config_file import BARE, LoadedConfig, parse_model_config
from onnxd.repository.model_spec import merge
from onnxd.runtime.graph import GraphSpec, GraphTensor
from onnxd.tensors import Datatype, ModelSpec, TensorSpec

FP32, INT64, BYTES = Datatype.FP32, Datatype.INT64, Datatype.BYTES
IMAGE = GraphTensor("image", FP32, (-1, 64))
SCORES = GraphTensor("scores", FP32, (-1, 10))
LABEL = GraphTensor("label", INT64, (-1,))
SCALE = GraphTensor("scale", FP32, ())
DIGITS = GraphSpec((IMAGE,), (LABEL, SCORES), (SCALE,))


def loaded(text: str) -> LoadedConfig:
    return parse_model_config(text.encode())


def spec_of(text: str, graph: GraphSpec = DIGITS, **labels: list[str]) -> ModelSpec:
    return merge("digits", 3, loaded(text), graph, labels)


def problems_of(text: str, graph: GraphSpec = DIGITS, **labels: list[str]) -> list[str]:
    with pytest.raises(LoadFailed) as caught:
        spec_of(text, graph, **labels)
    return caught.value.message.split("\n")


def problem_of(text: str, graph: GraphSpec = DIGITS, **labels: list[str]) -> str:
    problems = problems_of(text, graph, **labels)
    assert len(problems) == 1, problems
    return problems[0]


def test_a_bare_model_is_as_its_graph_says_and_is_not_batched() -> None:
    assert merge("digits", 3, BARE, DIGITS) == ModelSpec(
        "digits",
        3,
        (TensorSpec("image", FP32, (-1, 64)),),
        (TensorSpec("label", INT64, (-1,)), TensorSpec("scores", FP32, (-1, 10))),
    )


def test_shapes_of_a_batched_model_are_without_the_batch_dimension() -> None:
    spec = spec_of("max_batch_size: 8")
    assert spec.max_batch_size == 8
    assert spec.inputs == (TensorSpec("image", FP32, (64,)),)
    assert [output.shape for output in spec.outputs] == [(), (10,)]


def test_a_maximum_of_zero_rows_is_no_batching() -> None:
    assert spec_of("max_batch_size: 0") == merge("digits", 3, BARE, DIGITS)


def test_a_config_narrows_free_dimensions() -> None:
    graph = GraphSpec((GraphTensor("x", FP32, (-1, -1, 3)),), (GraphTensor("y", FP32, (-1, -1)),))
    spec = spec_of(
        "max_batch_size: 2\ninputs: [{name: x, shape: [5, 3]}]\noutputs: [{name: y, shape: [7]}]", graph
    )
    assert (spec.inputs[0].shape, spec.outputs[0].shape) == ((5, 3), (7,))


def test_listed_outputs_are_chosen_and_ordered() -> None:
    names = [output.name for output in spec_of("outputs: [{name: scores}, {name: label}]").outputs]
    assert names == ["scores", "label"]
    assert [output.name for output in spec_of("outputs: [{name: label}]").outputs] == ["label"]


def test_inputs_that_are_not_listed_stay_in_the_graphs_order() -> None:
    graph = GraphSpec((IMAGE, GraphTensor("mask", FP32, (-1,))), (SCORES,))
    assert [tensor.name for tensor in spec_of("inputs: [{name: mask}]", graph).inputs] == ["image", "mask"]


def test_an_input_with_a_default_is_offered_only_when_it_is_listed() -> None:
    assert [tensor.name for tensor in spec_of("").inputs] == ["image"]
    assert spec_of("inputs: [{name: scale, optional: true}]").inputs[1] == TensorSpec(
        "scale", FP32, (), optional=True
    )
    assert spec_of("inputs: [{name: scale}]").inputs[1] == TensorSpec("scale", FP32, ())


def test_an_input_without_a_default_cannot_be_optional() -> None:
    problem = problem_of("inputs:\n- name: image\n  optional: true\n")
    assert problem.startswith(
        "config.yaml:3:13: inputs[0].optional: the graph has no default for the input 'image'"
    )


def test_an_unknown_name_is_answered_with_the_graphs_names() -> None:
    assert "the graph has no input 'imgae'; it has 'image', 'scale'" in problem_of("inputs: [{name: imgae}]")
    assert "the graph has no output 'x'; it has 'label', 'scores'" in problem_of("outputs: [{name: x}]")


def test_everything_is_reported_at_once_naming_both_sides() -> None:  # row I5 of the table of bad configs
    problems = problems_of(
        "inputs:\n"
        "- {name: image, datatype: INT64, shape: [4]}\n"
        "outputs:\n"
        "- {name: scores, shape: [-1, -1]}\n"
        "- {name: missing}\n"
    )
    assert [problem.split(": ", 2)[:2] for problem in problems] == [
        ["config.yaml:2:27", "inputs[0].datatype"],
        ["config.yaml:2:41", "inputs[0].shape"],
        ["config.yaml:4:25", "outputs[0].shape"],
        ["config.yaml:5:10", "outputs[1].name"],
    ]
    assert "config.yaml says INT64, the graph says FP32 for input 'image'" in problems[0]
    assert "config.yaml says [4], the graph says [-1, 64] for input 'image'" in problems[1]
    assert "config.yaml says [-1, -1], the graph says [-1, 10] for output 'scores'" in problems[2]


def test_a_batch_dimension_stated_by_mistake_is_recognised() -> None:
    problem = problem_of("max_batch_size: 4\ninputs: [{name: image, shape: [-1, 64]}]")
    assert problem.endswith("(without the batch dimension); leave the first dimension out: it is the batch's")


def test_a_batch_dimension_left_out_by_mistake_is_recognised() -> None:
    assert "without max_batch_size the shape is complete" in problem_of(
        "inputs: [{name: image, shape: [64]}]"
    )


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1, 64), "has its first dimension fixed to 1 in the graph"), ((), "has no dimensions in the graph")],
)
def test_a_tensor_without_a_free_first_dimension_cannot_be_batched(
    shape: tuple[int, ...], expected: str
) -> None:
    problem = problem_of("\nmax_batch_size: 4", GraphSpec((GraphTensor("x", FP32, shape),), (SCORES,)))
    assert problem.startswith("config.yaml:2:17: max_batch_size: input 'x' ")
    assert expected in problem
    assert "leave max_batch_size out" in problem


def test_a_tensor_of_unknown_rank_needs_a_stated_shape() -> None:
    graph = GraphSpec((IMAGE,), (GraphTensor("y", FP32, (), rank_known=False),))
    with pytest.raises(LoadFailed, match="does not say how many dimensions output 'y' has; state its shape"):
        merge("m", 1, BARE, graph)
    assert spec_of("outputs: [{name: y, shape: [-1, 3]}]", graph).outputs[0].shape == (-1, 3)
    assert spec_of("max_batch_size: 2\noutputs: [{name: y, shape: [3]}]", graph).outputs[0].shape == (3,)


def test_labels_belong_to_their_output() -> None:
    text = "outputs: [{name: scores, labels: l.txt}]"
    labels = [str(digit) for digit in range(10)]
    assert spec_of(text, scores=labels).outputs[0].labels == tuple(labels)
    problem = problem_of(text, scores=["a"])
    assert "outputs[0].labels: l.txt has 1 line, but output 'scores' has 10 classes" in problem


def test_any_number_of_labels_fits_a_free_number_of_classes() -> None:
    assert spec_of("outputs: [{name: label, labels: l.txt}]", label=["a", "b"]).outputs[0].labels == (
        "a",
        "b",
    )


def test_labels_need_classes_and_numbers() -> None:
    text = "max_batch_size: 2\noutputs: [{name: label, labels: l.txt}]"
    assert "has no dimension of classes" in problem_of(text, label=["a"])
    graph = GraphSpec((IMAGE,), (GraphTensor("words", BYTES, (3,)),))
    problem = problem_of("outputs: [{name: words, labels: l.txt}]", graph, words=["a", "b", "c"])
    assert "only numbers can be ranked" in problem


def test_the_messages_in_the_documentation_are_real() -> None:
    page = (Path(__file__).parents[3] / "docs" / "config.md").read_text(encoding="utf-8")
    problems = problems_of(
        "max_batch_size: 32\n"
        "inputs:\n"
        "  - {name: image, datatype: FP32, shape: [63]}\n"
        "outputs:\n"
        "  - {name: scores, datatype: INT64}\n"
    )
    for problem in problems:
        assert f"\n{problem}\n" in page


def test_without_a_config_file_no_place_is_named() -> None:
    graph = GraphSpec((GraphTensor("x", FP32, (), rank_known=False),), (SCORES,))
    with pytest.raises(LoadFailed) as caught:
        merge("m", 1, BARE, graph)
    assert caught.value.message.startswith("the graph does not say")


# Reshape.


def test_a_reshaped_tensor_has_the_clients_shape_and_the_graphs() -> None:
    graph = GraphSpec((GraphTensor("x", FP32, (-1, 2, -1)),), (GraphTensor("y", FP32, (-1, 10)),))
    spec = spec_of(
        "max_batch_size: 2\n"
        "inputs: [{name: x, shape: [1, 2, -1], reshape: [2, -1]}]\n"
        "outputs: [{name: y, shape: [5, 2], reshape: [10]}]",
        graph,
    )
    assert spec.inputs == (TensorSpec("x", FP32, (1, 2, -1), reshape=(2, -1)),)
    assert spec.outputs == (TensorSpec("y", FP32, (5, 2), reshape=(10,)),)


def test_a_reshape_that_the_graph_does_not_have_is_refused_where_it_stands() -> None:
    problem = problem_of("max_batch_size: 2\ninputs: [{name: image, shape: [8, 8], reshape: [8, 8]}]")
    assert problem.startswith(
        "config.yaml:2:48: inputs[0].reshape: config.yaml says [8, 8], the graph says [64]"
    )


def test_a_shape_of_ones_is_taken_for_a_scalar() -> None:
    graph = GraphSpec((GraphTensor("x", FP32, ()),), (GraphTensor("y", FP32, ()),))
    spec = spec_of("inputs: [{name: x, shape: [1]}]\noutputs: [{name: y, shape: [1, 1]}]", graph)
    assert spec.inputs == (TensorSpec("x", FP32, (1,), reshape=()),)
    assert spec.outputs == (TensorSpec("y", FP32, (1, 1), reshape=()),)


def test_inputs_are_in_the_configs_order_when_it_lists_them_all() -> None:
    graph = GraphSpec((IMAGE, GraphTensor("mask", FP32, (-1,))), (SCORES,), (SCALE,))
    text = "inputs: [{name: scale, optional: true}, {name: mask}, {name: image}]"
    assert [tensor.name for tensor in spec_of(text, graph).inputs] == ["scale", "mask", "image"]
