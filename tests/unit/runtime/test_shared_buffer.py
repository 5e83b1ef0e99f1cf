"""Memory that two processes share. Here both ends are in one."""

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest

from onnxd.runtime.memory import resident_bytes
from onnxd.runtime.shared_buffer import SharedBuffer, anonymous_file

MIB = 2**20


class Ends(NamedTuple):
    writer: SharedBuffer
    reader: SharedBuffer


@pytest.fixture
def ends() -> Iterator[Ends]:
    descriptor = anonymous_file()
    writer = SharedBuffer(descriptor, writable=True, limit_bytes=64 * MIB)
    reader = SharedBuffer(os.dup(descriptor), writable=False)
    yield Ends(writer, reader)
    writer.close()
    reader.close()


def test_what_one_side_writes_the_other_reads(ends: Ends) -> None:
    ends.writer.reserve(100)
    ends.writer.bytes_at(10, 3)[:] = [1, 2, 3]
    ends.reader.follow(ends.writer.size)
    assert ends.reader.bytes_at(10, 3).tolist() == [1, 2, 3]


def test_growing_keeps_what_is_there(ends: Ends) -> None:
    ends.writer.reserve(1)
    ends.writer.bytes_at(0, 1)[:] = 7
    ends.reader.follow(ends.writer.size)
    ends.writer.reserve(5 * MIB)
    ends.reader.follow(ends.writer.size)
    assert ends.reader.bytes_at(0, 1).tolist() == [7]
    assert ends.reader.bytes_at(5 * MIB - 1, 1).tolist() == [0]


def test_a_view_outlives_growth_and_the_end(ends: Ends) -> None:
    ends.writer.reserve(1)
    view = ends.writer.bytes_at(0, 1)
    view[:] = 7
    ends.writer.reserve(MIB)
    assert view.tolist() == [7]


def test_the_reader_cannot_write(ends: Ends) -> None:
    ends.writer.reserve(1)
    ends.reader.follow(ends.writer.size)
    with pytest.raises(ValueError, match="read-only"):
        ends.reader.bytes_at(0, 1)[:] = 1


def test_it_does_not_grow_over_its_limit(ends: Ends) -> None:
    ends.writer.reserve(64 * MIB)
    with pytest.raises(MemoryError, match="over the limit"):
        ends.writer.reserve(64 * MIB + 1)


def test_it_cannot_be_cut_short_under_a_reader(ends: Ends) -> None:
    ends.writer.reserve(MIB)
    with pytest.raises(PermissionError):
        os.ftruncate(ends.writer.descriptor, 0)


def test_a_reader_is_not_led_behind_the_end(ends: Ends) -> None:
    ends.writer.reserve(1)
    with pytest.raises(ValueError, match="there are fewer"):
        ends.reader.follow(ends.writer.size + 1)


def test_a_reader_is_not_led_over_the_limit(ends: Ends) -> None:
    with pytest.raises(ValueError, match="over the limit"):
        ends.writer.follow(65 * MIB)


@pytest.mark.parametrize(("offset", "length"), [(0, 2**40), (-1, 1), (0, -1), (2**40, 1)])
def test_ranges_outside_of_it_are_refused(ends: Ends, offset: int, length: int) -> None:
    ends.writer.reserve(100)
    with pytest.raises(ValueError, match="not within"):
        ends.writer.bytes_at(offset, length)


def test_before_it_has_grown_there_is_nothing(ends: Ends) -> None:
    with pytest.raises(ValueError, match="not within"):
        ends.reader.bytes_at(0, 1)


def test_the_memory_of_a_large_batch_goes_back_to_the_system(ends: Ends) -> None:
    ends.writer.reserve(64 * MIB)
    ends.writer.bytes_at(0, 64 * MIB)[:] = 1
    full = resident_bytes()
    ends.writer.give_back()
    assert resident_bytes() < full - 32 * MIB
    assert ends.writer.bytes_at(0, 1).tolist() == [1]
    assert not np.any(ends.writer.bytes_at(32 * MIB, 1))
