"""The binary form of tensors, which both wires share."""

import struct

import ml_dtypes
import numpy as np
import pytest

from onnxd.errors import MalformedPayload
from onnxd.protocol.binary import decode_tensor, encode_tensor, string_array
from onnxd.protocol.limits import ProtocolLimits
from onnxd.tensors import Datatype


def text(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


BAD_STRINGS = {
    "D4-length-past-the-end": struct.pack("<I", 4) + b"abc" + text(b""),
    "D4-length-of-2^32-1": struct.pack("<I", 2**32 - 1) + b"abc" + text(b""),
    "D4-last-length-cut": text(b"abc") + b"\x01\x00\x00",
    "D4-last-length-missing": text(b"abcdefgh"),
    "D4-fewer-elements": text(b"a"),
    "D4-more-elements": text(b"a", b"b", b"c"),
    "D4-empty": b"",
    "D5-invalid-utf-8": text(b"a", b"\xff"),
    "D5-surrogate-in-utf-8": text(b"a", b"\xed\xa0\x80"),
}


@pytest.mark.parametrize("data", BAD_STRINGS.values(), ids=BAD_STRINGS.keys())
def test_bytes_that_are_not_the_declared_elements_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedPayload, match="input 't'"):
        decode_tensor("t", Datatype.BYTES, (2,), data)


def test_bytes_keep_nul_characters_and_trailing_ones() -> None:
    # D5
    array = decode_tensor("t", Datatype.BYTES, (2, 1), text(b"a\x00b\x00", b""))
    assert array.tolist() == [["a\x00b\x00"], [""]]
    assert bytes(encode_tensor(array)) == text(b"a\x00b\x00", b"")


def test_a_million_empty_elements_are_read_and_one_over_the_bound_is_not() -> None:
    # D5: the count is compared before anything is made for the elements.
    bound = ProtocolLimits().max_bytes_elements
    assert decode_tensor("t", Datatype.BYTES, (bound,), bytes(4 * bound)).shape == (bound,)
    with pytest.raises(MalformedPayload, match="at most"):
        decode_tensor("t", Datatype.BYTES, (bound + 1,), b"")


@pytest.mark.parametrize("byte", [2, 255], ids=["D6-2", "D6-255"])
def test_a_bool_is_zero_or_one(byte: int) -> None:
    with pytest.raises(MalformedPayload, match=f"got {byte} at element 1"):
        decode_tensor("b", Datatype.BOOL, (3,), bytes([1, byte, 0]))


def test_the_layout_is_little_endian_and_row_major() -> None:
    array = decode_tensor("x", Datatype.INT16, (2, 2), b"\x01\x00\x02\x00\x00\x01\xff\xff")
    assert array.tolist() == [[1, 2], [256, -1]]


def test_bf16_is_the_upper_half_of_a_float() -> None:
    array = decode_tensor("x", Datatype.BF16, (2,), b"\x80\x3f\x00\xc0")
    assert array.dtype == ml_dtypes.bfloat16
    assert array.astype(np.float32).tolist() == [1.0, -2.0]


def test_an_aligned_tensor_is_a_view_over_what_was_received() -> None:
    body = np.arange(4, dtype=np.float32)
    assert np.shares_memory(decode_tensor("x", Datatype.FP32, (4,), body.view(np.uint8).data), body)


def test_an_unaligned_tensor_is_copied_to_where_its_elements_are_aligned() -> None:
    body = memoryview(bytes(17))
    for start in range(9):
        array = decode_tensor("x", Datatype.FP64, (1,), body[start : start + 8])
        assert array.flags.aligned


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0)], ids=str)
def test_scalars_and_empty_tensors_have_their_bytes(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.int32)
    data = encode_tensor(array)
    assert len(data) == 4 * array.size
    assert decode_tensor("x", Datatype.INT32, shape, data).shape == shape


def test_an_array_is_encoded_in_row_major_order() -> None:
    array = np.arange(6, dtype=np.int8).reshape(2, 3)
    assert bytes(encode_tensor(array)) == b"\x00\x01\x02\x03\x04\x05"
    assert bytes(encode_tensor(array.T)) == b"\x00\x03\x01\x04\x02\x05"


def test_a_large_contiguous_array_is_encoded_without_a_copy() -> None:
    array = np.zeros((2, 4096), np.int8)
    view = encode_tensor(array)
    array[1, 4095] = 9
    assert bytes(view) == bytes(8191) + b"\x09"


def test_strings_become_objects_whatever_they_are() -> None:
    assert string_array(["a"]).dtype == np.object_
    assert string_array([]).shape == (0,)
