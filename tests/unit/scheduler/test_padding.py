"""Requests of different size on named axes: padded, run together, and cut back."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.errors import ExecutionFailed, TensorMismatch
from onnxd.scheduler.padding import Padded
from onnxd.tensors import Array, Datatype, DynamicAxis, ModelSpec, TensorSpec
from tests.support.sequences import item, numbers

SEQ = DynamicAxis("seq", (4, 8, 16), pad=9)
IDS = TensorSpec("ids", Datatype.INT64, (-1,), axes=("seq",))
TYPES = TensorSpec("types", Datatype.INT64, (-1,), axes=("seq",))
MASK = TensorSpec("mask", Datatype.FP32, (-1,), axes=("seq",), is_mask=True, optional=True)
SCALE = TensorSpec("scale", Datatype.INT64, (2,))
TOKENS = TensorSpec("tokens", Datatype.INT64, (-1,), axes=("seq",))
POOLED = TensorSpec("pooled", Datatype.INT64, (1,))


class Waste:
    """What was counted of the runs."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def __call__(self, elements: int, padding: int) -> None:
        self.seen.append((elements, padding))


def form(
    *inputs: TensorSpec,
    outputs: tuple[TensorSpec, ...] = (TOKENS, POOLED),
    axes: tuple[DynamicAxis, ...] = (SEQ,),
    waste: Waste | None = None,
) -> Padded:
    return Padded(ModelSpec("m", 1, inputs, outputs, 8, axes=axes), waste or Waste())


def refusal(subject: Padded, **inputs: Array) -> str:
    with pytest.raises(TensorMismatch) as caught:
        subject.bucket(item(**inputs).request, ())
    return caught.value.message


# Which may share a run.


def test_requests_that_are_padded_to_the_same_size_share_a_bucket() -> None:
    subject = form(IDS)
    of = {size: subject.bucket(item(ids=numbers(1, size)).request, ()) for size in (1, 3, 4, 5, 8, 9)}
    assert of[1] == of[3] == of[4]
    assert of[5] == of[8]
    assert len({of[1], of[5], of[9]}) == 3


def test_rows_do_not_part_requests() -> None:
    subject = form(IDS)
    assert subject.bucket(item(ids=numbers(3, 2)).request, ()) == subject.bucket(
        item(ids=numbers(1, 4)).request, ()
    )


def test_other_outputs_other_datatypes_and_other_fixed_shapes_part_requests() -> None:
    subject = form(IDS, TensorSpec("x", Datatype.FP32, (-1,)))
    ids, x = numbers(1, 2), np.ones((1, 3), np.float32)
    keys = {
        subject.bucket(item(ids=ids, x=x).request, ("tokens",)),
        subject.bucket(item(ids=ids, x=x).request, ("pooled",)),
        subject.bucket(item(ids=ids, x=x[:, :2]).request, ("tokens",)),
        subject.bucket(item(ids=ids).request, ("tokens",)),
    }
    assert len(keys) == 4


def test_requests_with_and_without_a_mask_share_a_bucket() -> None:
    subject = form(IDS, MASK)
    bare = subject.bucket(item(ids=numbers(1, 2)).request, ())
    own = subject.bucket(item(ids=numbers(1, 3), mask=np.ones((1, 3), np.float32)).request, ())
    assert bare == own


def test_a_size_above_the_largest_bucket_is_refused_with_the_buckets() -> None:
    assert refusal(form(IDS), ids=numbers(1, 17)) == (
        "input 'ids' has size 17 on the axis 'seq', which is more than the largest bucket: its buckets are "
        "4, 8, 16"
    )


def test_an_axis_that_differs_between_the_inputs_of_a_request_is_refused() -> None:
    assert refusal(form(IDS, TYPES), ids=numbers(1, 3), types=numbers(1, 4)) == (
        "input 'types' has size 4 on the axis 'seq', but input 'ids' has 3: they must be equal"
    )


def test_a_mask_of_another_size_is_refused() -> None:
    text = refusal(form(MASK, IDS), ids=numbers(1, 3), mask=np.ones((1, 2), np.float32))
    assert text.startswith("input 'mask' has size 2 on the axis 'seq', but input 'ids' has 3")


def test_an_axis_that_differs_within_one_input_is_refused() -> None:
    square = TensorSpec("ids", Datatype.INT64, (-1, -1), axes=("seq", "seq"))
    assert "'ids' has size 3" in refusal(form(square), ids=numbers(1, 2, 3))


# Put together.


def test_rows_are_stacked_with_the_padding_behind_them() -> None:
    stacked = form(IDS).stack([item(ids=numbers(1, 2)), item(ids=numbers(2, 3))])
    assert stacked["ids"].tolist() == [[1, 2, 9, 9], [1, 2, 3, 9], [4, 5, 6, 9]]
    assert stacked["ids"].dtype == np.int64


def test_a_request_alone_and_of_a_buckets_size_is_passed_on_as_it_came() -> None:
    ids = numbers(2, 4)
    assert form(IDS).stack([item(ids=ids)])["ids"] is ids


def test_a_request_alone_is_padded_to_its_bucket() -> None:
    assert form(IDS).stack([item(ids=numbers(1, 5))])["ids"].shape == (1, 8)


def test_inputs_without_the_axis_are_stacked_as_they_are() -> None:
    stacked = form(IDS, SCALE).stack(
        [item(ids=numbers(1, 2), scale=numbers(1, 2)), item(ids=numbers(1, 3), scale=numbers(1, 2))]
    )
    assert stacked["scale"].tolist() == [[1, 2], [1, 2]]


def test_a_mask_that_is_left_out_says_what_is_real() -> None:
    stacked = form(IDS, MASK).stack([item(ids=numbers(1, 2)), item(ids=numbers(2, 3))])
    assert stacked["mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]]
    assert stacked["mask"].dtype == np.float32


def test_a_mask_that_is_sent_is_padded_with_nothing() -> None:
    own = np.array([[1, 0, 1]], np.float32)
    stacked = form(IDS, MASK).stack([item(ids=numbers(1, 3), mask=own), item(ids=numbers(1, 2))])
    assert stacked["mask"].tolist() == [[1, 0, 1, 0], [1, 1, 0, 0]]


def test_a_request_of_a_buckets_size_without_its_mask_has_one_of_ones_and_its_own_view() -> None:
    ids = numbers(1, 4)
    stacked = form(IDS, MASK).stack([item(ids=ids)])
    assert stacked["ids"] is ids
    assert stacked["mask"].tolist() == [[1, 1, 1, 1]]


def test_a_mask_of_two_axes_marks_the_corner_that_is_real() -> None:
    axes = (DynamicAxis("h", (3,)), DynamicAxis("w", (4,)))
    image = TensorSpec("image", Datatype.FP32, (-1, -1), axes=("h", "w"))
    mask = TensorSpec("mask", Datatype.BOOL, (1, -1, -1), axes=(None, "h", "w"), is_mask=True, optional=True)
    stacked = form(image, mask, outputs=(), axes=axes).stack([item(image=np.ones((1, 2, 3), np.float32))])
    assert stacked["mask"].tolist() == [
        [[[True, True, True, False], [True, True, True, False], [False, False, False, False]]]
    ]
    assert stacked["image"].sum() == 6


@pytest.mark.parametrize(
    ("datatype", "pad", "expected"),
    [
        (Datatype.BYTES, 0, ""),
        (Datatype.BOOL, 1, True),
        (Datatype.UINT8, 255, 255),
        (Datatype.INT64, 2**62 + 1, 2**62 + 1),
        (Datatype.FP16, 0.5, 0.5),
        (Datatype.BF16, -2, -2),
        (Datatype.FP64, 0.1, 0.1),
    ],
)
def test_the_padding_is_of_the_datatype(datatype: Datatype, pad: float, expected: Any) -> None:
    tensor = TensorSpec("x", datatype, (-1,), axes=("seq",))
    array = np.full((1, 1), "a", object) if datatype is Datatype.BYTES else np.ones((1, 1), datatype.dtype)
    stacked = form(tensor, axes=(DynamicAxis("seq", (2,), pad),)).stack([item(x=array)])["x"]
    assert stacked.dtype == datatype.dtype
    assert stacked[0, 1] == expected


# Cut apart.


def test_outputs_with_the_axis_are_cut_to_the_requests_own_size() -> None:
    subject = form(IDS)
    items = [item(ids=numbers(1, 2)), item(ids=numbers(2, 3))]
    outputs = {"tokens": numbers(3, 4), "pooled": numbers(3, 1)}
    first, second = subject.split(items, outputs)
    assert first["tokens"].tolist() == [[1, 2]]
    assert second["tokens"].tolist() == [[5, 6, 7], [9, 10, 11]]
    assert (first["pooled"].tolist(), second["pooled"].tolist()) == ([[1]], [[2], [3]])
    assert all(array.flags.c_contiguous for answer in (first, second) for array in answer.values())


def test_an_output_of_another_size_than_its_axis_is_nobodys_answer() -> None:
    with pytest.raises(
        ExecutionFailed, match=r"shape \[1, 5\], where .* dimension 1 is 'seq', of which the inputs have 4"
    ):
        form(IDS).split([item(ids=numbers(1, 2))], {"tokens": numbers(1, 5)})


def test_an_output_of_another_rank_than_the_graph_says_is_nobodys_answer() -> None:
    with pytest.raises(ExecutionFailed, match=r"shape \[4\], where the graph says"):
        form(IDS).split([item(ids=numbers(1, 2))], {"tokens": numbers(4)})


def test_an_output_without_a_row_for_each_row_is_nobodys_answer() -> None:
    with pytest.raises(ExecutionFailed, match="for a batch of 2 rows"):
        form(IDS).split([item(ids=numbers(1, 2)), item(ids=numbers(1, 3))], {"pooled": numbers(1, 1)})


_arrays = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), min_size=1, max_size=6)


@given(shapes=_arrays, data=st.data())
def test_splitting_undoes_stacking(shapes: list[tuple[int, int]], data: st.DataObject) -> None:
    """Of a model that gives back what it got: every request has its own, in all of its datatypes."""
    datatype = data.draw(st.sampled_from([Datatype.INT64, Datatype.FP16, Datatype.BYTES, Datatype.BOOL]))
    ids = TensorSpec("ids", datatype, (-1, 2), axes=("seq", None))
    same = TensorSpec("same", datatype, (-1, 2), axes=("seq", None))
    waste = Waste()
    subject = form(ids, MASK, outputs=(same,), axes=(DynamicAxis("seq", (4,)),), waste=waste)
    start, arrays = 1, []
    for rows, size in shapes:
        array = numbers(rows, size, 2, start=start)
        start += array.size
        arrays.append(
            array.astype(str).astype(object) if datatype is Datatype.BYTES else array.astype(datatype.dtype)
        )
    items = [item(ids=array) for array in arrays]
    stacked = subject.stack(items)
    answers = subject.split(items, {"same": stacked["ids"]})
    for sent, answer in zip(arrays, answers, strict=True):
        assert answer["same"].shape == sent.shape
        assert answer["same"].tolist() == sent.tolist()
    real = sum(array.size for array in arrays)
    total = sum(rows for rows, _ in shapes) * 4 * 2
    assert waste.seen == [(total, total - real)]
    assert stacked["mask"].sum() * 2 == real
