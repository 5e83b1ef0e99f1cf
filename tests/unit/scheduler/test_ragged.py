"""Requests whose elements follow each other in one run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.errors import ExecutionFailed
from onnxd.scheduler.ragged import Ragged, batch_input
from onnxd.tensors import Array, BatchInput, BatchKind, Datatype, ModelSpec, TensorSpec
from tests.support.sequences import item, numbers

X = TensorSpec("x", Datatype.INT64, (-1,), ragged=True)
SCALE = TensorSpec("scale", Datatype.INT64, (2,))
DOUBLED = TensorSpec("doubled", Datatype.INT64, (-1,), scatter="x")
SUMS = TensorSpec("sums", Datatype.INT64, (1,))
ENDS = BatchInput("ends", Datatype.INT32, BatchKind.ACCUMULATED_ELEMENT_COUNT, "x")
FORM = Ragged(ModelSpec("m", 1, (X, SCALE), (SUMS, DOUBLED), 8, batch_inputs=(ENDS,)))


def made(kind: BatchKind, *shapes: tuple[int, ...], datatype: Datatype = Datatype.INT32) -> Array:
    array = batch_input(BatchInput("made", datatype, kind, "x"), shapes)
    assert array.dtype == datatype.dtype
    return array


# The inputs that the server makes; the numbers are those of Triton's own description.


def test_element_counts_are_those_of_each_request() -> None:
    assert made(BatchKind.ELEMENT_COUNT, (2, 3), (1, 4)).tolist() == [6, 4]


def test_accumulated_counts_say_where_each_request_ends() -> None:
    assert made(BatchKind.ACCUMULATED_ELEMENT_COUNT, (1, 3), (1, 4), (1, 5)).tolist() == [3, 7, 12]


def test_accumulated_counts_may_have_a_leading_zero() -> None:
    kind = BatchKind.ACCUMULATED_ELEMENT_COUNT_WITH_ZERO
    assert made(kind, (1, 3), (1, 4)).tolist() == [0, 3, 7]


def test_the_largest_count_may_be_a_length() -> None:
    assert made(BatchKind.MAX_ELEMENT_COUNT_AS_SHAPE, (1, 3), (2, 4), (1, 5)).shape == (8,)


def test_item_shapes_are_of_each_row() -> None:
    assert made(BatchKind.ITEM_SHAPE, (2, 3, 1), (1, 2, 2)).tolist() == [[3, 1], [3, 1], [2, 2]]


def test_item_shapes_may_be_flat() -> None:
    assert made(BatchKind.ITEM_SHAPE_FLATTEN, (2, 3, 1), (1, 2, 2)).tolist() == [3, 1, 3, 1, 2, 2]


def test_they_are_in_the_datatype_of_the_graph() -> None:
    made(BatchKind.ACCUMULATED_ELEMENT_COUNT, (1, 3), datatype=Datatype.FP32)
    made(BatchKind.ITEM_SHAPE, (1, 3), datatype=Datatype.INT64)


# Put together and cut apart.


def test_ragged_inputs_follow_each_other_and_others_are_stacked() -> None:
    stacked = FORM.stack(
        [item(x=numbers(1, 2), scale=numbers(1, 2)), item(x=numbers(1, 3, start=5), scale=numbers(1, 2))]
    )
    assert stacked["x"].tolist() == [1, 2, 5, 6, 7]
    assert stacked["scale"].shape == (2, 2)
    assert stacked["ends"].tolist() == [2, 5]


def test_a_request_alone_is_passed_on_as_a_flat_view() -> None:
    x = numbers(1, 3)
    assert np.shares_memory(FORM.stack([item(x=x, scale=numbers(1, 2))])["x"], x)


def test_ragged_inputs_of_any_size_share_a_bucket_and_others_do_not() -> None:
    key = FORM.bucket(item(x=numbers(1, 2), scale=numbers(1, 2)).request, ())
    assert key == FORM.bucket(item(x=numbers(1, 7), scale=numbers(1, 2)).request, ())
    assert key != FORM.bucket(item(x=numbers(1, 2), scale=numbers(1, 3)).request, ())
    assert key != FORM.bucket(item(x=numbers(1, 2)).request, ())


def test_an_output_is_cut_by_the_shape_of_its_input() -> None:
    items = [item(x=numbers(1, 2)), item(x=numbers(2, 1))]
    first, second = FORM.split(items, {"sums": numbers(3, 1), "doubled": numbers(4)})
    assert (first["doubled"].tolist(), second["doubled"].tolist()) == ([[1, 2]], [[3], [4]])
    assert (first["sums"].tolist(), second["sums"].tolist()) == ([[1]], [[2], [3]])
    assert list(first) == ["sums", "doubled"]


def test_fixed_sizes_of_a_scattered_output_are_its_own() -> None:
    pairs = TensorSpec("pairs", Datatype.INT64, (-1, 2), scatter="x")
    form = Ragged(ModelSpec("m", 1, (X,), (pairs,), 8))
    first, second = form.split([item(x=numbers(1, 1)), item(x=numbers(1, 2))], {"pairs": numbers(6)})
    assert (first["pairs"].tolist(), second["pairs"].tolist()) == ([[[1, 2]]], [[[3, 4], [5, 6]]])


def test_an_output_that_is_not_as_long_as_the_requests_say_is_nobodys_answer() -> None:
    with pytest.raises(
        ExecutionFailed, match=r"'doubled' has 3 elements, but the shapes of input 'x'.* ask for 2"
    ):
        FORM.split([item(x=numbers(1, 2))], {"doubled": numbers(3)})


def test_a_request_alone_is_held_to_its_rows_too() -> None:
    with pytest.raises(ExecutionFailed, match="send one row in each"):
        FORM.split([item(x=numbers(2, 2))], {"sums": numbers(1, 1)})


@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 4), st.integers(1, 2)), min_size=1, max_size=6
    )
)
def test_splitting_undoes_stacking(shapes: list[tuple[int, int, int]]) -> None:
    x = TensorSpec("x", Datatype.INT64, (-1, -1), ragged=True)
    same = TensorSpec("same", Datatype.INT64, (-1, -1), scatter="x")
    form = Ragged(ModelSpec("m", 1, (x,), (same,), 8, batch_inputs=(ENDS,)))
    start, arrays = 1, []
    for shape in shapes:
        arrays.append(numbers(*shape, start=start))
        start += arrays[-1].size
    items = [item(x=array) for array in arrays]
    stacked = form.stack(items)
    assert stacked["ends"][-1] == stacked["x"].size
    answers = form.split(items, {"same": stacked["x"]})
    assert [answer["same"].tolist() for answer in answers] == [array.tolist() for array in arrays]
