import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd_client import bfloat16, tensors
from onnxd_client.errors import InvalidRequest, ServerFault
from onnxd_client.tensors import NUMPY, Array
from tests.unit.client.servers import packed

SHAPES = [pytest.param((), id="scalar"), pytest.param((0, 3), id="empty"), pytest.param((2, 3), id="matrix")]


def roundtrip(array: Array) -> Array:
    tensor = tensors.encode("x", array)
    return tensors.decode("x", tensor.datatype, tensor.shape, bytes(tensor.data))


@pytest.mark.parametrize("datatype", NUMPY)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_datatype_comes_back_as_it_was(datatype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape)).reshape(shape).astype(NUMPY[datatype])
    tensor = tensors.encode("x", array)
    assert tensor.datatype == datatype
    assert len(tensor.data) == array.nbytes
    back = roundtrip(array)
    assert back.dtype == array.dtype
    assert back.shape == shape
    assert np.array_equal(back, array)


@pytest.mark.parametrize("shape", SHAPES)
def test_bf16_comes_back_as_ml_dtypes_has_it(shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape)).reshape(shape).astype(ml_dtypes.bfloat16)
    tensor = tensors.encode("x", array)
    assert tensor.datatype == "BF16"
    back = roundtrip(array)
    assert back.dtype == array.dtype
    assert back.shape == shape
    assert np.array_equal(back, array)


def test_without_ml_dtypes_bf16_becomes_float32_exactly() -> None:
    bits = np.array([0x3F80, 0xC000, 0x7F80], dtype=np.uint16)
    values = bfloat16.from_bits(bits, dtype=None)
    assert values.dtype == np.float32
    assert values.tolist() == [1.0, -2.0, math.inf]


@given(st.lists(st.floats(width=32)))
def test_rounding_to_bf16_agrees_with_ml_dtypes(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    with np.errstate(all="ignore"):
        expected = array.astype(ml_dtypes.bfloat16)
    found = bfloat16.to_bits(array).view(ml_dtypes.bfloat16)
    assert np.array_equal(found.astype(np.float32), expected.astype(np.float32), equal_nan=True)


def test_decoded_arrays_belong_to_the_caller() -> None:
    data = bytearray(b"\0" * 9)
    array = tensors.decode("x", "FP32", (2,), memoryview(data)[1:])
    array += 1
    assert array.flags.aligned
    assert data == b"\0" * 9


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.arange(6, dtype=">i4").reshape(2, 3), id="big-endian"),
        pytest.param(np.asfortranarray(np.arange(6, dtype="<i4").reshape(2, 3)), id="column-major"),
        pytest.param(np.arange(12, dtype="<i4").reshape(2, 6)[:, ::2], id="strided"),
    ],
)
def test_the_wire_is_little_endian_and_row_major_whatever_the_array(array: Array) -> None:
    tensor = tensors.encode("x", array)
    assert bytes(tensor.data) == b"".join(int(v).to_bytes(4, "little") for v in array.reshape(-1))


@pytest.mark.parametrize("dtype", ["c8", "M8[s]", "V4"])
def test_an_array_without_a_datatype_is_refused_by_name(dtype: str) -> None:
    with pytest.raises(InvalidRequest, match=r"input 'x': an array of .* has no datatype"):
        tensors.encode("x", np.zeros(2, dtype=dtype))


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.array(["ä", "", "b\0"], dtype=object), id="objects of text"),
        pytest.param(np.array(["ä".encode(), b"", b"b\0"], dtype=object), id="objects of bytes"),
        pytest.param(np.array(["ä", "", "b\0"], dtype=np.dtypes.StringDType()), id="variable-width text"),
    ],
)
def test_text_is_sent_as_utf8_with_lengths(array: Array) -> None:
    tensor = tensors.encode("x", array)
    assert tensor.datatype == "BYTES"
    assert tensor.data == packed("ä".encode(), b"", b"b\0")


def test_fixed_width_text_is_sent_too() -> None:
    assert tensors.encode("x", np.array([["a", "bc"]])).data == packed(b"a", b"bc")


@pytest.mark.parametrize("element", [1, None, b"x".join, ["nested"]])
def test_an_object_that_is_no_text_is_refused(element: object) -> None:
    array = np.empty(1, dtype=object)
    array[0] = element
    with pytest.raises(InvalidRequest, match="input 'x': expected text or bytes in every element"):
        tensors.encode("x", array)


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="cannot be written as UTF-8"):
        tensors.encode("x", np.array(["\ud800"], dtype=object))


@given(st.lists(st.binary()))
def test_bytes_come_back_as_they_were(elements: list[bytes]) -> None:
    data = tensors.pack_bytes("x", elements)
    assert tensors.decode("x", "BYTES", (len(elements),), data).tolist() == elements


@given(st.binary(), st.integers(0, 4))
def test_any_bytes_are_elements_or_a_fault_of_the_server(data: bytes, count: int) -> None:
    try:
        found = tensors.unpack_bytes("x", data, count)
    except ServerFault:
        return
    assert packed(*found) == data


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "message"),
    [
        pytest.param("FP32", (2,), b"1234567", "takes 8 bytes, the answer has 7", id="short"),
        pytest.param("FP32", (0,), b"1", "takes 0 bytes, the answer has 1", id="more than nothing"),
        pytest.param("FP8", (1,), b"1", "unknown datatype 'FP8'", id="unknown datatype"),
        pytest.param("BYTES", (2,), packed(b"a"), "2 elements, the answer 1", id="an element missing"),
        pytest.param("BYTES", (1,), b"\xff\0\0\0a", "255 bytes runs past the end", id="an endless element"),
    ],
)
def test_an_answer_that_contradicts_itself_is_the_servers_fault(
    datatype: str, shape: tuple[int, ...], data: bytes, message: str
) -> None:
    with pytest.raises(ServerFault, match=message):
        tensors.decode("x", datatype, shape, data)


@pytest.mark.parametrize(
    ("datatype", "values", "expected"),
    [
        pytest.param("FP32", [[1, 2], [3, 4]], [[1, 2], [3, 4]], id="nested"),
        pytest.param("INT64", [1, 2, 3, 4], [[1, 2], [3, 4]], id="flat"),
        pytest.param("BYTES", ["a", "b", "c", "ä"], [[b"a", b"b"], [b"c", "ä".encode()]], id="text"),
        pytest.param("BF16", [1, 2, 3, 4], [[1, 2], [3, 4]], id="BF16"),
    ],
)
def test_outputs_written_as_values_are_read(datatype: str, values: Any, expected: Any) -> None:
    assert tensors.from_values("x", datatype, (2, 2), values).tolist() == expected


@pytest.mark.parametrize(
    ("datatype", "values"),
    [("FP32", [1, 2, 3]), ("FP32", ["a"] * 4), ("BYTES", [1]), ("NEW", [1]), ("INT8", [999] * 4)],
)
def test_outputs_written_as_other_values_are_the_servers_fault(datatype: str, values: Any) -> None:
    with pytest.raises(ServerFault, match=r"output 'x'|unknown datatype"):
        tensors.from_values("x", datatype, (2, 2), values)
