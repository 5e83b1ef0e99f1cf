"""One tensor in two shapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.errors import ExecutionFailed
from onnxd.protocol.reshape import as_clients_see, as_graph_sees, reshape_problem, reshaped
from onnxd.tensors import Datatype, TensorSpec


@pytest.mark.parametrize(
    ("shape", "other"),
    [
        ((4,), (2, 2)),
        ((1,), ()),
        ((), (1, 1)),
        ((-1, 3), (-1, 1, 3)),
        ((2, -1, 4), (2, -1, 2, 2)),
        ((-1, -1), (-1, 1, -1)),
        ((0, 5), (0,)),
    ],
)
def test_shapes_with_the_same_elements(shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    assert reshape_problem(shape, other) == ""
    sizes = tuple(7 if size == -1 else size for size in shape)
    assert reshaped(sizes, shape, other) == tuple(7 if size == -1 else size for size in other)


@pytest.mark.parametrize(
    ("shape", "other", "problem"),
    [
        ((4,), (3,), "[4] and [3] differ in the number of elements: 4 and 3"),
        ((2,), (), "[2] and [] differ in the number of elements: 2 and 1"),
        ((-1, 3), (3, -1), "differ in the number of elements between their free dimensions: 1, 3 and 3, 1"),
        ((-1, 3), (3,), "[-1,3] has 1 free dimensions, [3] has 0"),
        ((-1,), (-1, -1), "[-1] has 1 free dimensions, [-1,-1] has 2"),
    ],
)
def test_shapes_that_cannot_be_one_tensor(
    shape: tuple[int, ...], other: tuple[int, ...], problem: str
) -> None:
    assert problem in reshape_problem(shape, other)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4), st.booleans(), st.integers(0, 3))
def test_views_there_and_back_change_nothing(sizes: list[int], batches: bool, rows: int) -> None:
    tensor = TensorSpec("x", Datatype.FP32, (-1,) * len(sizes), reshape=(1, *(-1 for _ in sizes), 1))
    whole = (rows, *sizes) if batches else tuple(sizes)
    array = np.arange(int(np.prod(whole)), dtype=np.float32).reshape(whole)
    seen = as_graph_sees(array, tensor, batches=batches)
    assert seen.shape == ((rows,) if batches else ()) + (1, *sizes, 1)
    back = as_clients_see(seen, tensor, batches=batches)
    assert back.shape == array.shape
    assert np.shares_memory(seen, array) or not array.size
    assert back.tolist() == array.tolist()


@pytest.mark.parametrize("given", [(1, 3), (1, 2, 2), (1,)])
def test_an_output_unlike_what_the_graph_declares_is_a_failed_run(given: tuple[int, ...]) -> None:
    tensor = TensorSpec("y", Datatype.FP32, (2, 2), reshape=(4,))
    with pytest.raises(ExecutionFailed, match=r"output 'y' has shape \[.*\], but its config reshapes \[4\]"):
        as_clients_see(np.zeros(given, np.float32), tensor, batches=True)
