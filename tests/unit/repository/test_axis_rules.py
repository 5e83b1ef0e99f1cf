"""`dynamic_axes`: what a graph makes of them, and what is refused with its line and the mend."""

import math

import pytest

from onnxd.errors import LoadFailed
from onnxd.repository.axis_rules import holds
from onnxd.repository.config_file import parse_model_config
from onnxd.repository.model_spec import merge
from onnxd.runtime.graph import GraphSpec, GraphTensor
from onnxd.tensors import Datatype, DynamicAxis, ModelSpec

FP32, INT64, BYTES = Datatype.FP32, Datatype.INT64, Datatype.BYTES
IDS = GraphTensor("ids", INT64, (-1, -1), ("batch", "seq"))
MASK = GraphTensor("mask", INT64, (-1, -1), ("batch", "seq"))
IMAGE = GraphTensor("image", FP32, (-1, 3, -1, -1), ("batch", None, "h", "w"))
TOKENS = GraphTensor("tokens", FP32, (-1, -1, 8), ("batch", "seq", None))
POOLED = GraphTensor("pooled", FP32, (-1, 8), ("batch", None))
TEXT = GraphSpec((IDS, MASK), (TOKENS, POOLED))


def spec_of(text: str, graph: GraphSpec = TEXT) -> ModelSpec:
    return merge("m", 1, parse_model_config(text.encode()), graph)


def axis(text: str, *more: str) -> str:
    return "\n".join(("max_batch_size: 8", "dynamic_axes:", f"  {text}", *more))


def problem_of(text: str, graph: GraphSpec = TEXT) -> str:
    with pytest.raises(LoadFailed) as caught:
        spec_of(text, graph)
    problems = caught.value.message.split("\n")
    assert len(problems) == 1, problems
    return problems[0]


# What a graph makes of them.


def test_tensors_know_which_of_their_dimensions_are_axes() -> None:
    spec = spec_of(axis("seq: {buckets: [4, 8], pad: 1}"))
    assert spec.axes == (DynamicAxis("seq", (4, 8), 1),)
    assert [tensor.axes for tensor in spec.inputs] == [("seq",), ("seq",)]
    assert [tensor.axes for tensor in spec.outputs] == [("seq", None), ()]


def test_a_mask_is_an_input_that_clients_may_leave_out() -> None:
    spec = spec_of(axis("seq: {buckets: [4], mask_input: mask}"))
    assert [(tensor.name, tensor.optional, tensor.is_mask) for tensor in spec.inputs] == [
        ("ids", False, False),
        ("mask", True, True),
    ]


def test_a_mask_may_be_listed_as_optional() -> None:
    text = axis("seq: {buckets: [4], mask_input: mask}", "inputs: [{name: mask, optional: true}]")
    assert spec_of(text).inputs[1].optional


def test_axes_are_those_of_the_shape_that_the_graph_sees() -> None:
    graph = GraphSpec((GraphTensor("x", FP32, (-1, 1, -1), ("batch", None, "n")),), (POOLED,))
    spec = spec_of(axis("n: {buckets: [4]}", "inputs: [{name: x, shape: [-1], reshape: [1, -1]}]"), graph)
    assert (spec.inputs[0].shape, spec.inputs[0].axes) == ((-1,), (None, "n"))


def test_a_model_without_them_is_as_before() -> None:
    spec = spec_of("max_batch_size: 8")
    assert (spec.axes, [tensor.axes for tensor in spec.inputs]) == ((), [(), ()])


# What the keys demand of each other.


def test_axes_need_batches() -> None:
    assert problem_of("dynamic_axes: {seq: {buckets: [4]}}") == (
        "config.yaml:1:15: dynamic_axes: needs a max_batch_size of at least 1: padding is there for batches"
    )


def test_axes_need_requests_that_share_a_run() -> None:
    text = problem_of(axis("seq: {buckets: [4]}", "batching: {dynamic: false}"))
    assert text.startswith("config.yaml:3:3: dynamic_axes: needs batching.dynamic: ")


@pytest.mark.parametrize("buckets", ["[4, 4]", "[8, 4]"])
def test_buckets_ascend(buckets: str) -> None:
    text = problem_of(axis(f"seq: {{buckets: {buckets}}}"))
    assert text.startswith("config.yaml:3:22: dynamic_axes.seq.buckets[1]: 4 follows ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seq: {buckets: [0]}", "3:19: dynamic_axes.seq.buckets[0]: expected an integer from 1 to"),
        ("seq: {buckets: []}", "3:18: dynamic_axes.seq.buckets: expected a list of 1 to 64 items, got"),
        ("seq: {pad: 0}", "3:8: dynamic_axes.seq.buckets: this key is missing"),
        ("seq: {buckets: [4], pad: true}", "3:28: dynamic_axes.seq.pad: expected a number, such as 0"),
        ("seq: {buckets: [4], pad: .inf}", "3:28: dynamic_axes.seq.pad: YAML reads .inf as a number"),
        ("seq: {buckets: [4], sizes: 1}", "3:23: dynamic_axes.seq.sizes: unknown key"),
    ],
)  # fmt: skip
def test_a_malformed_axis_is_told_with_its_place(text: str, expected: str) -> None:
    assert problem_of(axis(text)).startswith(f"config.yaml:{expected}")


def test_axes_and_ragged_inputs_do_not_go_together() -> None:
    text = axis("seq: {buckets: [4]}", "inputs: [{name: ids, shape: [-1], ragged: true}]")
    assert "either padded axes or ragged inputs" in problem_of(text)


# What the graph has against them.


def test_an_unknown_axis_is_answered_with_those_of_the_graph() -> None:
    text = problem_of(axis("sequence: {buckets: [4]}"), GraphSpec((IDS, IMAGE), (POOLED,)))
    assert text == (
        "config.yaml:3:13: dynamic_axes.sequence: no input of the graph has an axis 'sequence'; its axes are "
        "'seq', 'h', 'w'"
    )


def test_a_graph_without_names_is_to_be_exported_with_them() -> None:
    graph = GraphSpec((GraphTensor("x", FP32, (-1, -1), (None, None)),), (POOLED,))
    assert "export the model with a name for each dimension" in problem_of(axis("seq: {buckets: [4]}"), graph)


def test_the_batchs_dimension_is_no_dynamic_axis() -> None:
    text = problem_of(axis("batch: {buckets: [4]}"))
    assert "'batch' is the dimension of the batch, which max_batch_size is about; its axes are 'seq'" in text


def test_an_axis_of_outputs_only_is_none() -> None:
    graph = GraphSpec((IDS,), (GraphTensor("y", FP32, (-1, -1), ("batch", "found")),))
    assert "no input of the graph has an axis 'found'" in problem_of(axis("found: {buckets: [4]}"), graph)


def test_an_axis_of_nothing_but_its_mask_has_no_size() -> None:
    graph = GraphSpec((IMAGE, MASK), (POOLED,))
    text = problem_of(axis("seq: {buckets: [4], mask_input: mask}"), graph)
    assert "no input that every request has, other than masks, has the axis 'seq'" in text


def test_buckets_smaller_than_a_size_that_is_fixed_are_refused() -> None:
    text = axis("seq: {buckets: [4, 8, 16]}", "inputs: [{name: ids, shape: [8]}]")
    assert problem_of(text).startswith(
        "config.yaml:3:19: dynamic_axes.seq.buckets[0]: 4 is smaller than the 8 that input 'ids' takes"
    )
    assert spec_of(axis("seq: {buckets: [8, 16]}", "inputs: [{name: ids, shape: [8]}]")).axes


def test_a_mask_must_be_an_input_of_the_graph() -> None:
    assert problem_of(axis("seq: {buckets: [4], mask_input: musk}")) == (
        "config.yaml:3:35: dynamic_axes.seq.mask_input: the graph has no required input 'musk'; it has 'ids'"
        ", 'mask'"
    )


def test_a_mask_must_have_the_axis() -> None:
    graph = GraphSpec((IDS, GraphTensor("mask", INT64, (-1, 3), ("batch", None))), (POOLED,))
    text = problem_of(axis("seq: {buckets: [4], mask_input: mask}"), graph)
    assert text.endswith("input 'mask' has shape [-1,3] and not the axis 'seq', so it cannot be its mask")


def test_a_mask_has_no_other_free_dimension() -> None:
    graph = GraphSpec((IDS, GraphTensor("mask", INT64, (-1, -1, -1), ("batch", "seq", "k"))), (POOLED,))
    assert "the server cannot know how much" in problem_of(
        axis("seq: {buckets: [4], mask_input: mask}"), graph
    )


def test_a_mask_is_not_of_text() -> None:
    graph = GraphSpec((IDS, GraphTensor("mask", BYTES, (-1, -1), ("batch", "seq"))), (POOLED,))
    assert "input 'mask' is BYTES" in problem_of(axis("seq: {buckets: [4], mask_input: mask}"), graph)


def test_a_padding_that_an_input_cannot_hold_is_refused() -> None:
    text = problem_of(axis("seq: {buckets: [4], pad: 0.5, mask_input: mask}"))
    assert text == (
        "config.yaml:3:28: dynamic_axes.seq.pad: 0.5 is not a value of INT64, which input 'ids' is made of"
    )


def test_an_input_with_two_axes_has_one_padding() -> None:
    text = problem_of(
        axis("h: {buckets: [4]}", "  w: {buckets: [4], pad: 1}"), GraphSpec((IMAGE,), (POOLED,))
    )
    assert "input 'image' has the axes 'h', padded with 0, too; state the same value for both" in text


def test_the_padding_of_text_and_masks_is_not_looked_at() -> None:
    words = GraphTensor("words", BYTES, (-1, -1), ("batch", "seq"))
    truth = GraphTensor("mask", Datatype.BOOL, (-1, -1), ("batch", "seq"))
    text = axis("seq: {buckets: [4], pad: 7, mask_input: mask}")
    assert spec_of(text, GraphSpec((words, truth), (POOLED,))).axes


@pytest.mark.parametrize(
    ("datatype", "holding", "not_holding"),
    [
        (Datatype.BOOL, (0, 1, 1.0), (2, -1, 0.5)),
        (Datatype.INT8, (-128, 127, 3.0), (128, -129, 0.5)),
        (Datatype.UINT64, (0, 2**64 - 1), (-1, 2**64)),
        (Datatype.INT64, (-(2**63), 2**63 - 1, 1e18), (2**63, 1e19)),
        (Datatype.FP16, (65504, -1.5, 0.1), (65536, 1e30)),
        (Datatype.BF16, (3e38, 0.1), (4e38, 10**400)),
        (Datatype.FP32, (3e38, 2**24 + 1), (1e39,)),
        (Datatype.FP64, (1e308,), (10**400,)),
    ],
)
def test_what_a_datatype_holds(
    datatype: Datatype, holding: tuple[float, ...], not_holding: tuple[float, ...]
) -> None:
    assert all(holds(datatype, value) for value in holding)
    assert not any(holds(datatype, value) for value in not_holding)
    assert not math.isnan(holding[0])
