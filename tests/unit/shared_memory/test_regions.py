"""The registry of regions: what may be registered, by whom, how many, and when its file is closed."""

import os
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from onnxd.errors import (
    AlreadyExists,
    InvalidRequest,
    MalformedPayload,
    NotFound,
    PayloadTooLarge,
    RateLimited,
)
from onnxd.messages import ANONYMOUS, Principal
from onnxd.protocol.shared_memory import RegionRow, Registration
from onnxd.shared_memory.config import SharedMemoryConfig
from onnxd.shared_memory.region import open_region
from onnxd.shared_memory.regions import Regions, SharedMemoryUnavailable
from onnxd.shared_memory.service import SharedMemory
from tests.support.segments import Segment, a_name, open_segments, segment

ON = SharedMemoryConfig(enabled=True)


@pytest.fixture
def memory() -> Iterator[Segment]:
    """64 bytes."""
    with segment(64, bytes(range(64))) as made:
        yield made


@pytest.fixture
def regions() -> Iterator[Regions]:
    with Regions(ON) as opened:
        yield opened
    assert open_segments() == 0


def register(regions: Regions, memory: Segment, name: str = "r", offset: int = 0, size: int = 64) -> None:
    regions.register(ANONYMOUS, name, Registration(memory.key, offset, size))


def test_a_region_is_known_by_what_it_was_registered_as(regions: Regions, memory: Segment) -> None:
    register(regions, memory, "b", 8, 16)
    register(regions, memory, "a")
    rows = (RegionRow("a", memory.key, 0, 64), RegionRow("b", memory.key, 8, 16))
    assert regions.status(ANONYMOUS, None) == rows
    assert regions.status(ANONYMOUS, "b") == rows[1:]


def test_what_is_read_and_written_is_the_regions_own_range(regions: Regions, memory: Segment) -> None:
    register(regions, memory, offset=8, size=16)
    region = regions.find(ANONYMOUS, "r")
    assert bytes(region.read(4, 4)) == bytes(range(12, 16))
    region.write(4, b"here")
    assert memory.read(8, 10) == bytes((10, 11)) + b"here" + bytes((16, 17))


def test_F4_a_taken_name_is_refused_and_an_unknown_one_may_be_forgotten(
    regions: Regions, memory: Segment
) -> None:
    register(regions, memory)
    with pytest.raises(AlreadyExists):
        register(regions, memory)
    regions.unregister(ANONYMOUS, "unknown")
    regions.unregister(ANONYMOUS, "r")
    regions.unregister(ANONYMOUS, "r")
    register(regions, memory)


def test_F4_a_region_in_use_is_forgotten_at_once_and_closed_later(regions: Regions, memory: Segment) -> None:
    register(regions, memory)
    region = regions.find(ANONYMOUS, "r")
    region.hold()
    region.hold()
    regions.unregister(ANONYMOUS, None)
    assert regions.status(ANONYMOUS, None) == ()
    register(regions, memory)
    assert bytes(region.read(0, 2)) == b"\0\1"
    region.release()
    assert memory.opened == 2
    region.release()
    assert memory.opened == 1


def test_an_object_may_be_unlinked_once_it_is_registered(regions: Regions, memory: Segment) -> None:
    register(regions, memory)
    memory.path.unlink()
    assert bytes(regions.find(ANONYMOUS, "r").read(0, 2)) == b"\0\1"


def _link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _link_within(path: Path) -> None:
    path.symlink_to(path.with_name("test_of_nobody"))


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.mkdir()


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


ODD: dict[str, Callable[[Path], None]] = {
    "F5-symlink": _link,
    "F5-dangling-symlink": _link_within,
    "F5-FIFO": _pipe,
    "F5-directory": _directory,
    "F5-socket": _socket,
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD.keys())
def test_what_is_no_plain_object_is_refused(regions: Regions, make: Callable[[Path], None]) -> None:
    with a_name() as path:
        make(path)
        with pytest.raises(InvalidRequest, match="plain shared memory object"):
            register(regions, Segment(path))
    assert open_segments() == 0


def test_F5_an_object_with_a_second_name_is_refused(regions: Regions, memory: Segment) -> None:
    with a_name() as path:
        path.hardlink_to(memory.path)
        for each in (memory, Segment(path)):
            with pytest.raises(InvalidRequest, match="plain"):
                register(regions, each)


def test_F5_a_device_is_refused() -> None:
    # To make one in /dev/shm takes root, so the folder is another one.
    devices = os.open("/dev", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(InvalidRequest, match="plain"):
            open_region("r", Registration("null", 0, 1), devices, "null", owner=0, max_size=-1)
    finally:
        os.close(devices)


def test_F5_another_users_object_is_refused(memory: Segment) -> None:
    with Regions(ON, owner=os.geteuid() + 1) as regions:
        with pytest.raises(InvalidRequest, match="another user"):
            register(regions, memory)
        assert memory.opened == 0


def test_an_object_that_is_not_there_is_said_so(regions: Regions) -> None:
    with a_name() as path, pytest.raises(InvalidRequest, match="no such object"):
        register(regions, Segment(path))


def test_F6_of_10000_regions_as_many_are_opened_as_may_be(memory: Segment) -> None:
    with Regions(SharedMemoryConfig(enabled=True, max_regions=100)) as regions:
        refused = 0
        for number in range(10_000):
            try:
                register(regions, memory, str(number))
            except RateLimited:
                refused += 1
        assert refused == 9_900
        assert memory.opened == 100
        regions.unregister(ANONYMOUS, "7")
        register(regions, memory, "one more")


def test_F6_a_region_that_is_still_in_use_counts(memory: Segment) -> None:
    with Regions(SharedMemoryConfig(enabled=True, max_regions=1)) as regions:
        register(regions, memory)
        held = regions.find(ANONYMOUS, "r")
        held.hold()
        regions.unregister(ANONYMOUS, "r")
        with pytest.raises(RateLimited):
            register(regions, memory)
        held.release()
        register(regions, memory)


def test_F6_regions_leave_half_of_the_descriptors_to_the_rest(memory: Segment) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with Regions(ON) as regions:
            for number in range(128):
                register(regions, memory, str(number))
            with pytest.raises(RateLimited):
                register(regions, memory, "one more")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


BEYOND: dict[str, tuple[int, int]] = {
    "F7-size-plus-1": (0, 65),
    "F7-offset-plus-1": (1, 64),
    "F7-offset-at-the-end": (64, 1),
    "F7-offset-beyond": (65, 1),
    "F7-size-of-2**63-1": (0, 2**63 - 1),
    "F7-sum-beyond-64-bits": (2**63 - 1, 2**63 - 1),
    "F7-2**64-1": (0, 2**64 - 1),
}


@pytest.mark.parametrize(("offset", "size"), BEYOND.values(), ids=BEYOND.keys())
def test_a_region_beyond_its_object_is_refused(
    regions: Regions, memory: Segment, offset: int, size: int
) -> None:
    with pytest.raises(InvalidRequest, match="64 bytes"):
        register(regions, memory, offset=offset, size=size)
    assert memory.opened == 0


def test_F7_a_region_of_nothing_is_refused(regions: Regions, memory: Segment) -> None:
    with pytest.raises(MalformedPayload):
        register(regions, memory, size=0)


def test_a_region_over_the_limit_is_too_large(memory: Segment) -> None:
    with Regions(SharedMemoryConfig(enabled=True, max_region=32)) as regions:
        register(regions, memory, size=32)
        with pytest.raises(PayloadTooLarge):
            register(regions, memory, "s", size=33)
        assert memory.opened == 1


def test_F9_a_region_that_has_shrunk_cannot_be_read(regions: Regions, memory: Segment) -> None:
    register(regions, memory)
    memory.resize(32)
    region = regions.find(ANONYMOUS, "r")
    assert bytes(region.read(0, 32)) == bytes(range(32))
    with pytest.raises(InvalidRequest, match="smaller"):
        region.read(31, 2)


def test_F13_a_region_that_has_shrunk_is_not_grown_again(regions: Regions, memory: Segment) -> None:
    register(regions, memory)
    memory.resize(0)
    with pytest.raises(InvalidRequest, match="smaller"):
        regions.find(ANONYMOUS, "r").write(0, b"x")
    assert memory.read() == b""


def test_an_object_that_cannot_be_written_to_is_said_so(regions: Regions, memory: Segment) -> None:
    register(regions, memory)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, before[1]))
    try:
        with pytest.raises(InvalidRequest, match="cannot be written to"):
            regions.find(ANONYMOUS, "r").write(16, b"x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_system_without_shared_memory_is_said_so_at_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("onnxd.shared_memory.regions._DIRECTORY", str(tmp_path / "nowhere"))
    with pytest.raises(SharedMemoryUnavailable, match=r"shared_memory\.enabled"), SharedMemory(ON):
        pass
    with SharedMemory(SharedMemoryConfig()):
        pass


def test_F14_a_region_is_unknown_to_everybody_else(regions: Regions, memory: Segment) -> None:
    register(regions, memory)
    other = Principal("somebody else")
    assert regions.status(other, None) == ()
    with pytest.raises(NotFound):
        regions.find(other, "r")
    with pytest.raises(NotFound):
        regions.status(other, "r")
    regions.unregister(other, None)
    regions.unregister(other, "r")
    regions.register(other, "r", Registration(memory.key, 0, 8))
    assert regions.find(ANONYMOUS, "r").row.byte_size == 64


def test_a_thousand_regions_come_and_go_without_a_trace(regions: Regions, memory: Segment) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(1_000):
        register(regions, memory)
        with pytest.raises(InvalidRequest):
            register(regions, memory, "too long", size=65)
        regions.unregister(ANONYMOUS, None if number % 2 else "r")
    assert len(os.listdir("/proc/self/fd")) == before


def test_leaving_closes_what_is_registered(memory: Segment) -> None:
    with Regions(ON) as regions:
        register(regions, memory)
        assert memory.opened == 1
    assert memory.opened == 0
