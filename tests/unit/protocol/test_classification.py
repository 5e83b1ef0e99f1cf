"""The k best classes of an output."""

import numpy as np
import pytest

from onnxd.errors import TensorMismatch
from onnxd.messages import RequestedOutput
from onnxd.protocol.classification import best_classes, classify_outputs
from onnxd.tensors import Array, Datatype, TensorSpec
from tests.unit.protocol.builders import spec


def test_the_best_come_first_with_value_index_and_label() -> None:
    output = np.array([0.1, 0.999, 0.25], np.float32)
    best = best_classes("y", output, 2, ("MUG", "COFFEE MUG"), batches=False)
    assert best.tolist() == ["0.999000:1:COFFEE MUG", "0.250000:2"]


def test_each_row_of_a_batch_has_its_own_best() -> None:
    output = np.array([[[1, 2], [3, 4]], [[8, 7], [6, 5]]], np.int64)
    best = best_classes("y", output, 2, (), batches=True)
    assert best.tolist() == [["4:3", "3:2"], ["8:0", "7:1"]]


def test_more_than_there_are_gives_all() -> None:
    # C14
    assert best_classes("y", np.array([[1], [2]], np.uint8), 5, (), batches=False).tolist() == ["2:1", "1:0"]


@pytest.mark.parametrize(
    ("output", "order"),
    [
        (np.array([5, 0, 5, 255], np.uint8), [3, 0, 2, 1]),
        (np.array([0, -128, 127], np.int8), [2, 0, 1]),
        (np.array([np.nan, 1.0, np.inf, -np.inf]), [2, 1, 3, 0]),
        (np.array([1.0, 1.0, 1.0]), [0, 1, 2]),
    ],
    ids=["unsigned", "lowest-signed", "nan-is-last", "ties-by-index"],
)
def test_the_order_is_descending(output: Array, order: list[int]) -> None:
    best = best_classes("y", output, 9, (), batches=False)
    assert [int(element.split(":")[1]) for element in best.tolist()] == order


def test_no_classes_give_no_elements() -> None:
    assert best_classes("y", np.zeros((2, 0), np.float32), 3, (), batches=True).shape == (2, 0)


def test_more_than_a_million_classes_are_refused() -> None:
    with pytest.raises(TensorMismatch, match="limited to 1000000"):
        best_classes("y", np.zeros(1_000_001, np.int8), 1, (), batches=False)


def test_only_the_outputs_that_were_asked_as_classes_are_replaced() -> None:
    model = spec(
        outputs=(
            TensorSpec("p", Datatype.FP32, (2,), labels=("no", "yes")),
            TensorSpec("q", Datatype.FP32, (2,)),
        )
    )
    outputs = {"q": np.array([1, 2], np.float32), "p": np.array([1, 2], np.float32)}
    requested = (RequestedOutput("q"), RequestedOutput("p", classification=1))
    answered = classify_outputs(requested, outputs, model)
    assert list(answered) == ["q", "p"]
    assert answered["q"] is outputs["q"]
    assert answered["p"].tolist() == ["2.000000:1:yes"]
