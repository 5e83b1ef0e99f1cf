"""How far two answers are apart."""

import math
from pathlib import Path

import numpy as np
import pytest

from onnxd.runtime.likeness import EXACT, TOLERANCES, difference, magnitude, tolerance
from onnxd.tensors import Array, Datatype

NAN, INF = math.nan, math.inf


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (floats(1, 2), floats(1, 2), 0.0),
        (floats(0, 10), floats(1, 10), 0.1),
        (floats(0, 0), floats(1, 0), 1.0),
        (floats(NAN, 1), floats(NAN, 1), 0.0),
        (floats(NAN, 1), floats(1, 1), INF),
        (floats(INF, 1), floats(INF, 1), 0.0),
        (floats(INF, 1), floats(-INF, 1), INF),
        (floats(NAN), floats(NAN), 0.0),
        (floats(), floats(), 0.0),
        (floats(1), floats(1, 1), INF),
        (floats(1), np.array([1.0]), INF),
        (np.array([1, 2]), np.array([1, 2]), 0.0),
        (np.array([1, 2]), np.array([1, 3]), INF),
        (np.array(["a"], object), np.array(["a"], object), 0.0),
        (np.array(["a"], object), np.array(["b"], object), INF),
        (np.array([True]), np.array([False]), INF),
    ],
)
def test_differences_are_relative_to_the_answers_largest_element(
    one: Array, other: Array, expected: float
) -> None:
    assert difference(one, other, magnitude(one)) == pytest.approx(expected)


def test_what_is_tiny_beside_other_rows_answers_may_be_rounding() -> None:
    assert difference(floats(1e-9), floats(-1e-9), 1.0) < 1e-4
    assert difference(floats(1e-9), floats(-1e-9), 1e-9) == pytest.approx(2.0)


@pytest.mark.parametrize("datatype", Datatype)
def test_only_floats_may_differ_and_neighbours_least(datatype: Datatype) -> None:
    allowed = tolerance(datatype)
    assert (allowed == EXACT) == (not datatype.is_float)
    assert allowed.company <= allowed.size <= allowed.single


def test_bfloat16_is_compared_as_the_numbers_that_it_holds() -> None:
    one, other = (np.array([value], Datatype.BF16.dtype) for value in (1.0, 2.0))
    assert difference(one, other, 2.0) == 0.5


def test_the_documented_tolerances_are_these() -> None:
    page = (Path(__file__).parents[3] / "docs" / "row-independence.md").read_text(encoding="utf-8")
    for datatype, allowed in TOLERANCES.items():
        row = f"| {datatype.value} | {allowed.company:g} | {allowed.size:g} | {allowed.single:g} |"
        assert row in page
