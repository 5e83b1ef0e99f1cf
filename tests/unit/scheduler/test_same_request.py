import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onnxd.messages import InferRequest
from onnxd.scheduler.same_request import payload_bytes, same_inputs, sketch
from onnxd.tensors import Array, Datatype

OUTPUTS = ("y",)


def request(array: Array) -> InferRequest:
    return InferRequest("m", {"x": array})


def alike(one: Array, other: Array) -> bool:
    """By the sketch alone."""
    return sketch(request(one), OUTPUTS) == sketch(request(other), OUTPUTS)


def same(one: Array, other: Array) -> bool:
    return alike(one, other) and same_inputs(request(one), request(other))


@pytest.mark.parametrize("datatype", Datatype)
@pytest.mark.parametrize("shape", [(1,), (3, 5), (1, 40_000), (0, 4)], ids=str)
def test_of_every_datatype_a_copy_is_the_same(datatype: Datatype, shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, datatype.dtype) if datatype is not Datatype.BYTES else np.full(shape, "é", object)
    assert same(array, array.copy())


@given(
    array=hnp.arrays(np.uint8, hnp.array_shapes(max_dims=2, max_side=300), elements=st.integers(0, 3)),
    data=st.data(),
)
def test_a_single_byte_that_differs_is_seen(array: Array, data: st.DataObject) -> None:
    other = array.copy()
    other.flat[data.draw(st.integers(0, array.size - 1))] ^= 1
    assert not same(array, other)


def test_far_behind_the_first_bytes_a_difference_is_seen() -> None:
    array = np.zeros((1, 1_000_003), np.uint8)
    other = array.copy()
    other[0, -2] = 1
    assert not same(array, other)


def test_what_differs_between_the_blocks_of_a_sketch_looks_alike_and_is_not_the_same() -> None:
    array, other = np.zeros((1, 4096), np.float32), np.zeros((1, 4096), np.float32)
    other[0, 200] = 1
    assert alike(array, other)
    assert not same(array, other)


def test_what_counts_is_the_bytes_that_the_graph_is_given() -> None:
    assert same(np.array([np.nan]), np.array([np.nan]))
    assert not same(np.array([0.0]), np.array([-0.0]))


def test_text_is_the_same_by_its_characters() -> None:
    assert same(np.array(["a", "b"], object), np.array(["a", "b"], object))
    assert not same(np.array(["a", "b"], object), np.array(["a", "c"], object))
    assert not same(np.array(["a" * 100 + "b"], object), np.array(["a" * 100 + "c"], object))


def test_the_order_of_inputs_is_no_difference() -> None:
    one, other = np.zeros(2), np.ones(2)
    first, second = InferRequest("m", {"a": one, "b": other}), InferRequest("m", {"b": other, "a": one})
    assert sketch(first, OUTPUTS) == sketch(second, OUTPUTS)
    assert same_inputs(first, second)


def test_a_payload_is_what_came_or_what_it_is_in_memory() -> None:
    assert payload_bytes(InferRequest("m", {"x": np.zeros(4, np.float32)}, byte_size=10)) == 16
    assert payload_bytes(InferRequest("m", {"x": np.array(["a" * 100], object)}, byte_size=104)) == 104
