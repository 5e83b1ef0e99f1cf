"""Whether a model ignores padding is found out on real graphs, not believed."""

from pathlib import Path
from typing import Any

import pytest
from onnx import helper

from onnxd.repository.padding_check import padding_question, padding_warning
from onnxd.runtime.padding_examination import examine_padding
from onnxd.tensors import Datatype
from tests.support import graphs, sequence_graphs
from tests.support.sequences import opened, spec_of

MASKED = "max_batch_size: 8\ndynamic_axes: {seq: {buckets: [4, 8, 16], mask_input: mask}}"
BARE = "max_batch_size: 8\ndynamic_axes: {seq: {buckets: [4, 8, 16]}}"
SIDES = "max_batch_size: 8\ndynamic_axes: {height: {buckets: [3, 9]%s}, width: {buckets: [5]%s}}"


def finding(directory: Path, graph: bytes, config: str) -> dict[str, Any]:
    session = opened(directory, graph)
    question = padding_question(spec_of(session, config))
    assert question is not None
    return examine_padding(session, directory, question)


@pytest.mark.parametrize("graph", [sequence_graphs.masked_mean(), sequence_graphs.masked_attention()])
def test_a_model_that_heeds_its_mask_ignores_padding(graph: bytes, tmp_path: Path) -> None:
    found = finding(tmp_path, graph, MASKED)
    assert found == {"cases": 6, "fault": "", "untried": ""}
    assert padding_warning(found) == ""


def test_a_mean_without_a_mask_is_found_out(tmp_path: Path) -> None:
    found = finding(tmp_path, sequence_graphs.plain_mean(), BARE)
    assert found["fault"].startswith("output 'pooled' of a request of seq 2, padded to seq 4, is off by ")
    assert padding_warning(found).startswith(
        "dynamic_axes: padding changes the answers of this model: output "
    )


def test_a_mask_that_is_padded_with_what_is_real_is_found_out(tmp_path: Path) -> None:
    found = finding(tmp_path, sequence_graphs.masked_mean(), BARE.replace("]}", "], pad: 1}"))
    assert "output 'pooled'" in found["fault"]


@pytest.mark.parametrize(("pad", "sound"), [("", True), (", pad: 1", False)])
def test_a_padding_value_may_or_may_not_count(pad: str, sound: bool, tmp_path: Path) -> None:
    found = finding(tmp_path, sequence_graphs.picture_sum(), SIDES % (pad, pad))
    assert bool(found["fault"]) is not sound
    assert (
        sound or "of a request of height 2, width 3, padded to height 3, width 5, is off by" in found["fault"]
    )


def test_a_shape_that_follows_the_padding_is_found_out(tmp_path: Path) -> None:
    graph = graphs.model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [graphs.tensor("x", Datatype.FP32, ("batch", "seq"))],
        [graphs.tensor("y", Datatype.FP32, ("batch", "other"))],
    )
    found = finding(tmp_path, graph, BARE)
    assert "has shape [1, 4], not [1, 2] as without padding" in found["fault"]


def test_text_that_is_passed_through_is_cut_back(tmp_path: Path) -> None:
    found = finding(tmp_path, graphs.identity(Datatype.BYTES, ("batch", "seq")), BARE)
    assert found == {"cases": 6, "fault": "", "untried": ""}


def test_a_model_that_fails_only_on_padding_is_found_out(tmp_path: Path) -> None:
    """Its table has 50 rows, and the padding is the index 60."""
    found = finding(
        tmp_path, sequence_graphs.masked_mean(), MASKED.replace("mask_input", "pad: 60, mask_input")
    )
    assert "a request of seq 2, padded to seq 4, fails: " in found["fault"]


def test_a_model_that_takes_nothing_that_is_made_up_is_not_tried(tmp_path: Path) -> None:
    graph = graphs.model(
        [helper.make_node("MatMul", ["x", "z"], ["y"])],
        [
            graphs.tensor("x", Datatype.FP32, ("batch", "seq", "k")),
            graphs.tensor("z", Datatype.FP32, ("batch", 7, 3)),
        ],
        [graphs.tensor("y", Datatype.FP32, ("batch", "seq", 3))],
    )
    found = finding(tmp_path, graph, BARE)
    assert (found["cases"], found["fault"]) == (0, "")
    assert padding_warning(found).startswith("dynamic_axes: it could not be tried whether padding changes ")


def test_a_model_without_dynamic_axes_is_not_asked(tmp_path: Path) -> None:
    session = opened(tmp_path, graphs.identity())
    assert padding_question(spec_of(session, "max_batch_size: 8")) is None
    assert padding_warning(None) == ""
