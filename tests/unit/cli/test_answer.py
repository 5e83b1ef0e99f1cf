"""What is printed of an answer."""

import numpy as np

from onnxd.cli.answer import answer_document, answer_lines
from onnxd.tensors import Array, Datatype
from onnxd_client import Classification, InferResult


def result(**outputs: Array) -> InferResult:
    return InferResult("m", "3", "", outputs)


def test_an_output_with_a_ranking_shows_its_classes_aligned() -> None:
    ranking = [[Classification(0.98765, 7, "seven"), Classification(0.01, 12, "")]]

    lines = list(answer_lines(result(scores=np.zeros((1, 20))), {"scores": ranking}))

    assert lines == ["m version 3", "  scores", "    seven  0.9877", "    12     0.01"]


def test_several_rows_are_told_apart() -> None:
    rows = [[Classification(1, 0, "a")], [Classification(1, 1, "b")]]

    lines = list(answer_lines(result(scores=np.zeros((2, 2))), {"scores": rows}))

    assert [line for line in lines if "row" in line] == ["  scores of row 0", "  scores of row 1"]


def test_a_large_output_is_shown_by_its_corners() -> None:
    lines = list(answer_lines(result(y=np.zeros((1000, 1000), np.float32)), {}))

    assert lines[1] == "  y [1000, 1000]"
    assert len(lines) < 20
    assert any("..." in line for line in lines)


def test_text_and_bf16_can_be_read() -> None:
    text = np.empty(2, object)
    text[:] = [b"caf\xc3\xa9", b"\xff"]
    halves = np.array([1.5], Datatype.BF16.dtype)

    lines = list(answer_lines(result(text=text, halves=halves), {}))

    assert lines[1:] == ["  text [2]", "    ['café' '\ufffd']", "  halves [1]", "    [1.5]"]


def test_text_from_a_model_cannot_drive_the_terminal() -> None:
    text = np.empty(1, object)
    text[0] = b"\x1b[2J"

    assert "\x1b" not in "".join(answer_lines(result(text=text), {}))
    labelled = [[Classification(1, 0, "\x1b[2J")]]
    assert "\x1b" not in "".join(answer_lines(result(s=np.zeros(1)), {"s": labelled}))


def test_the_document_has_every_value_and_the_classes_beside_them() -> None:
    document = answer_document(result(y=np.array([[0.5, 0.25]])), {"y": [[Classification(0.5, 0, "a")]]})

    assert document["outputs"]["y"].tolist() == [[0.5, 0.25]]
    assert document["classes"] == {"y": [[{"label": "a", "index": 0, "value": 0.5}]]}
