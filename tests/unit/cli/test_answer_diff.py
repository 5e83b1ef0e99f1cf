"""Which answers count as the same, and what recorded requests are made into."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from onnxd.cli.answer_diff import Tolerance, differences
from onnxd.cli.recorded_samples import stacked, warmup_yaml
from onnxd.telemetry.records import Record
from onnxd.tensors import Datatype

CLOSE = Tolerance(1e-3, 1e-5)


def texts(then: Any, now: Any, asked: Mapping[str, int] | None = None) -> list[str]:
    found = differences({"y": np.asarray(then)}, {"y": np.asarray(now)}, asked or {}, CLOSE)
    return [difference.text for difference in found]


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ([1.0, 2.0], [1.0005, 2.0]),
        ([np.nan, np.inf, -np.inf], [np.nan, np.inf, -np.inf]),
        ([1, 2], [1, 2]),
        ([True], [True]),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.array(["grün"], object), np.array(["grün".encode()], object)),
        (np.array([1.5], Datatype.BF16.dtype), np.array([1.5], Datatype.BF16.dtype)),
    ],
)
def test_the_same_is_the_same(then: Any, now: Any) -> None:
    assert texts(then, now) == []


@pytest.mark.parametrize(
    ("then", "now", "text"),
    [
        ([1.0, 2.0], [1.1, 3.0], "at [1] is 3.0, was 2.0; 2 of 2 elements differ"),
        ([1.0, 2.0], [np.nan, 2.0], "at [0] is nan, was 1.0; 1 of 2 elements differ"),
        ([2**60], [2**60 + 1], "1 of 1 elements differ"),
        ([1.0], [[1.0]], "has shape [1, 1], had [1]"),
        (np.array(["a"], object), np.array([b"b"], object), "at [0] is b, was a"),
    ],
)
def test_what_differs_is_told_at_its_worst_place(then: Any, now: Any, text: str) -> None:
    (found,) = texts(then, now)
    assert text in found


def test_an_output_that_has_gone_differs() -> None:
    (found,) = differences({"y": np.ones(1)}, {}, {}, CLOSE)
    assert (found.output, found.text) == ("y", "is no longer answered")


def test_of_classes_order_and_labels_count() -> None:
    then = np.array([["0.9:1:cat", "0.1:0:dog"]], object)
    near = np.array([[b"0.8999:1:cat", b"0.1001:0:dog"]], object)
    assert texts(then, near, {"y": 2}) == []
    assert texts(then, near) != []
    assert texts(then, near[:, ::-1], {"y": 2}) != []


def record(rows: int, value: float = 0.0, width: int = 2) -> Record:
    return Record(0, "m", 1, {"x": np.full((rows, width), value, np.float32)})


def test_rows_of_several_requests_are_stacked_as_far_as_they_fit() -> None:
    records = [record(2, 1), record(1, 2, width=3), record(3, 3), record(1, 4), record(1, 5)]
    assert stacked(records, 4)["x"][:, 0].tolist() == [1, 1, 4, 5]
    assert stacked(records, None)["x"].tolist() == [[1, 1], [1, 1]]
    assert stacked([record(9, 1)], 4)["x"].shape == (9, 2)
    assert stacked([], 4) == {}


def test_the_commonest_shapes_come_first() -> None:
    text = warmup_yaml([record(1), record(3), record(3)], batches=True)
    assert text.index("batch_size: 3") < text.index("batch_size: 1")
    assert "batch_size" not in warmup_yaml([record(1)], batches=False)
