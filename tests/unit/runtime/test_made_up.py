"""Rows that nobody sent."""

import numpy as np
import pytest

from onnxd.runtime.made_up import MANNERS, RowInput, make_row, sizes
from onnxd.tensors import Array, Datatype


def made(tensor: RowInput, manner: int, seed: int = 0) -> Array:
    shapes = next(iter(sizes([tensor])))
    return make_row([tensor], shapes, manner, np.random.default_rng(seed))[tensor.name]


@pytest.mark.parametrize("manner", range(MANNERS))
@pytest.mark.parametrize("datatype", Datatype)
def test_a_row_has_its_datatype_and_shape_and_is_the_same_for_a_seed(datatype: Datatype, manner: int) -> None:
    tensor = RowInput("x", datatype, (3, 5))
    row = made(tensor, manner)
    assert (row.dtype, row.shape) == (datatype.dtype, (1, 3, 5))
    assert np.array_equal(row, made(tensor, manner))
    assert not np.array_equal(row, made(tensor, manner, seed=1))


@pytest.mark.parametrize("datatype", [datatype for datatype in Datatype if datatype.is_integer])
def test_integers_are_never_the_smallest_of_their_type_and_stay_below_a_bound(datatype: Datatype) -> None:
    for manner in range(MANNERS):
        row = made(RowInput("x", datatype, (1000,)), manner)
        assert row.min() > np.iinfo(datatype.dtype).min or row.min() == 0
        bounded = made(RowInput("x", datatype, (1000,), bound=3), manner)
        assert 0 <= bounded.min() <= bounded.max() < 3


def test_some_floats_are_negative_some_large_and_some_between_0_and_1() -> None:
    rows = [made(RowInput("x", Datatype.FP32, (1000,)), manner) for manner in range(MANNERS)]
    assert rows[0].min() < 0
    assert 0 <= rows[1].min() < rows[1].max() < 1
    assert rows[3].max() > 200


def test_free_sizes_are_tried_in_turn_the_same_everywhere() -> None:
    tensors = [RowInput("x", Datatype.FP32, (-1, 3, -1)), RowInput("y", Datatype.FP32, (7,))]
    tried = list(sizes(tensors))
    assert tried[:2] == [{"x": (8, 3, 8), "y": (7,)}, {"x": (32, 3, 32), "y": (7,)}]
    assert list(sizes(tensors[1:])) == [{"y": (7,)}]


def test_a_symbol_that_is_a_sum_is_given_the_sum() -> None:
    names = ("past", "past + sequence", "sequence + 1", None)
    tensor = RowInput("x", Datatype.FP32, (-1, -1, -1, 2), names)
    assert next(iter(sizes([tensor]))) == {"x": (8, 16, 9, 2)}
