"""Tensors into shared memory and out of it again."""

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from onnxd.runtime.parcel import pack, unpack
from onnxd.runtime.shared_buffer import SharedBuffer, anonymous_file
from onnxd.tensors import Array, Datatype


@pytest.fixture
def buffer() -> Iterator[SharedBuffer]:
    buffer = SharedBuffer(anonymous_file(), writable=True)
    yield buffer
    buffer.close()


def texts(*values: str) -> Array:
    return np.array(values, object)


ARRAYS: dict[str, Array] = {
    **{
        datatype.value: np.arange(6).reshape(2, 3).astype(datatype.dtype)
        for datatype in Datatype
        if datatype is not Datatype.BYTES
    },
    "a scalar": np.array(3.5, np.float32),
    "an empty one": np.empty((0, 4), np.float32),
    "an empty one in the middle": np.empty((2, 0, 3), np.int64),
    "texts": texts("", "a", "ümläut €", "nul\0inside", "x" * 10_000),
    "a text": np.array("one", object).reshape(()),
    "no text": np.empty((0,), object),
    "texts in rows": texts("a", "b", "c", "d").reshape(2, 2),
}


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())
def test_a_tensor_comes_back_as_it_was(buffer: SharedBuffer, array: Array, copy: bool) -> None:
    entries, _ = pack({"x": array}, buffer)
    back = unpack(entries, buffer, copy=copy)["x"]
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tolist() == array.tolist()


def test_all_come_back_together_in_their_order(buffer: SharedBuffer) -> None:
    entries, _ = pack(ARRAYS, buffer)
    back = unpack(entries, buffer, copy=False)
    assert list(back) == list(ARRAYS)
    assert all(back[name].tolist() == array.tolist() for name, array in ARRAYS.items())


def test_numbers_are_views_unless_they_are_copied(buffer: SharedBuffer) -> None:
    entries, _ = pack({"x": np.array([1, 2], np.int32)}, buffer)
    view, copied = (unpack(entries, buffer, copy=copy)["x"] for copy in (False, True))
    pack({"x": np.array([3, 4], np.int32)}, buffer)
    assert view.tolist() == [3, 4]
    assert copied.tolist() == [1, 2]


def test_every_tensor_is_aligned_for_its_numbers(buffer: SharedBuffer) -> None:
    entries, _ = pack({"a": np.zeros(1, np.int8), "b": np.zeros(3, np.float64)}, buffer)
    assert [entry[3] % 64 for entry in entries] == [0, 0]


def test_a_read_only_input_can_be_packed(buffer: SharedBuffer) -> None:
    array = np.frombuffer(b"\1\2\3\4", np.uint8)
    entries, _ = pack({"x": array}, buffer)
    assert unpack(entries, buffer, copy=True)["x"].tolist() == [1, 2, 3, 4]


def test_text_that_is_none_is_refused(buffer: SharedBuffer) -> None:
    with pytest.raises(UnicodeError):
        pack({"x": texts("\udc80")}, buffer)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(["x", "FP32", [4], 0, 12], id="too few bytes for the shape"),
        pytest.param(["x", "FP32", [-1], 0, 4], id="a negative size"),
        pytest.param(["x", "FP33", [1], 0, 4], id="an unknown datatype"),
        pytest.param(["x", "FP32", [2**40], 0, 2**42], id="behind the end"),
        pytest.param(["x", "FP32", [1], -64, 4], id="before the beginning"),
        pytest.param(["x", "FP32", ["1"], 0, 4], id="a size that is a text"),
        pytest.param(["x", "BYTES", [5], 0, 4], id="lengths that do not fit"),
        pytest.param(["x", "BYTES", [1], 0, 8], id="texts that are longer than they say"),
        pytest.param(["x", "BYTES", [2], 0, 0], id="no lengths at all"),
        pytest.param(["x"], id="too little"),
    ],
)
def test_a_list_that_is_none_of_the_buffer_is_refused(buffer: SharedBuffer, entry: list[Any]) -> None:
    pack({"x": np.zeros(4, np.float32)}, buffer)
    with pytest.raises((ValueError, TypeError)):
        unpack([entry], buffer, copy=True)


def test_brain_floats_keep_their_bits(buffer: SharedBuffer) -> None:
    array = np.array([1.5, -0.0, np.inf, np.nan], ml_dtypes.bfloat16)
    entries, _ = pack({"x": array}, buffer)
    back = unpack(entries, buffer, copy=True)["x"]
    assert back.view(np.uint16).tolist() == array.view(np.uint16).tolist()
