"""Table F over both wires, of places: what a request may name of a region, and what may become of it.

After each the server is well, answers rightly, and has nothing of the test's open (see conftest.py).
"""

import asyncio

import numpy as np
import pytest

from onnxd.shared_memory.config import SharedMemoryConfig
from tests.contract.shared_memory.listeners import Stand
from tests.contract.shared_memory.wire import (
    BUSY,
    FORBIDDEN,
    INVALID,
    TOO_LARGE,
    UNKNOWN,
    At,
    Refusal,
    Shared,
    Wire,
)
from tests.support.segments import Segment

ROW = np.arange(1, 5, dtype=np.float32).reshape(1, 4)
IN = Shared(At("r", 16), "FP32", (1, 4))
OUT = At("r", 16, 16)


PLACES: dict[str, tuple[At, Refusal]] = {
    "offset-at-the-end": (At("r", 16, 64), INVALID),
    "offset-beyond": (At("r", 16, 80), INVALID),
    "size-beyond": (At("r", 16, 49), INVALID),
    "negative-offset": (At("r", 16, -1), INVALID),
    "sum-that-wraps": (At("r", 16, 2**63 - 8), INVALID),
    "unknown-region": (At("s", 16), UNKNOWN),
    "region-without-a-name": (At("", 16), UNKNOWN),
}


@pytest.mark.parametrize(("place", "kind"), PLACES.values(), ids=PLACES.keys())
async def test_F8_a_place_out_of_its_region_is_refused(
    wire: Wire, memory: Segment, place: At, kind: Refusal
) -> None:
    await wire.register("r", memory.key, 64)
    message = await wire.refused(wire.infer("identity", {"x": Shared(place, "FP32", (1, 4))}), kind)
    assert memory.key[1:] not in message
    await wire.refused(wire.infer("identity", {"x": ROW}, {"y": place}), kind)
    assert memory.read(at=16) == bytes(48)


@pytest.mark.parametrize("size", [0, 12, 20])
async def test_F8_an_input_of_another_size_is_refused(wire: Wire, memory: Segment, size: int) -> None:
    await wire.register("r", memory.key, 64)
    message = await wire.refused(
        wire.infer("identity", {"x": Shared(At("r", size), "FP32", (1, 4))}), INVALID
    )
    assert "16" in message


@pytest.mark.parametrize("size", [0, 15])
async def test_F9_a_region_that_was_shrunk_before_the_request_is_refused(
    wire: Wire, memory: Segment, size: int
) -> None:
    await wire.register("r", memory.key, 64)
    memory.resize(size)
    await wire.refused(wire.infer("identity", {"x": IN}), INVALID)
    memory.resize(64)
    memory.write(ROW.tobytes())
    answer = await wire.infer("identity", {"x": IN})
    np.testing.assert_array_equal(answer["y"].array, ROW)


async def test_F10_a_region_that_is_shrunk_during_the_run_costs_that_answer_only(
    stand: Stand, wire: Wire, memory: Segment
) -> None:
    await wire.register("r", memory.key, 64)
    call = asyncio.create_task(wire.infer("held", {"x": IN}, {"y": OUT}))
    await stand.holding.begun.wait()
    # What is not mapped cannot raise SIGBUS.
    assert not memory.mapped
    memory.resize(0)
    stand.holding.release()
    assert "smaller" in await wire.refused(call, INVALID)
    assert memory.read() == b""


async def test_F10_a_region_that_is_unlinked_during_the_run_is_still_there(
    stand: Stand, wire: Wire, memory: Segment
) -> None:
    await wire.register("r", memory.key, 64)
    call = asyncio.create_task(wire.infer("held", {"x": IN}, {"y": OUT}))
    await stand.holding.begun.wait()
    memory.path.unlink()
    stand.holding.release()
    assert (await call)["y"].array is None
    answer = await wire.infer("identity", {"x": Shared(OUT, "FP32", (1, 4))})
    np.testing.assert_array_equal(answer["y"].array, ROW)
    await wire.unregister()


@pytest.mark.parametrize("size", [0, 15])
async def test_F12_an_output_that_has_no_room_is_refused_with_both_sizes(
    wire: Wire, memory: Segment, size: int
) -> None:
    await wire.register("r", memory.key, 64)
    message = await wire.refused(wire.infer("identity", {"x": ROW * 2}, {"y": At("r", size)}), INVALID)
    assert f" {size}" in message
    assert " 16 " in message
    assert memory.read(16) == ROW.tobytes()


async def test_F12_of_several_outputs_none_is_written_when_one_has_no_room(
    wire: Wire, memory: Segment
) -> None:
    await wire.register("r", memory.key, 64)
    two = np.array([7, 8], np.float32)
    outputs = {"y": At("r", 16, 16), "y1": At("r", 4, 32)}
    await wire.refused(wire.infer("pair", {"x": two, "x1": two}, outputs), INVALID)
    assert memory.read(at=16) == bytes(48)


OVERLAPPING: dict[str, tuple[At, At]] = {
    "the-same-place": (At("r", 8), At("r", 8)),
    "one-byte": (At("r", 8), At("r", 8, 7)),
    "one-within-the-other": (At("r", 8, 4), At("r", 32)),
    "through-two-regions-of-one-object": (At("r", 8, 16), At("behind", 8)),
}


@pytest.mark.parametrize(("first", "second"), OVERLAPPING.values(), ids=OVERLAPPING.keys())
async def test_F12_places_that_overlap_are_refused(
    wire: Wire, memory: Segment, first: At, second: At
) -> None:
    await wire.register("r", memory.key, 64)
    await wire.register("behind", memory.key, 48, 16)
    two = np.array([7, 8], np.float32)
    outputs = {"y": first, "y1": second}
    assert "overlap" in await wire.refused(wire.infer("pair", {"x": two, "x1": two}, outputs), INVALID)


async def test_F12_outputs_side_by_side_are_written(wire: Wire, memory: Segment) -> None:
    await wire.register("r", memory.key, 64)
    await wire.register("behind", memory.key, 40, 24)
    two = np.array([7, 8], np.float32)
    await wire.infer("pair", {"x": two, "x1": two * 2}, {"y": At("r", 8, 16), "y1": At("behind", 8)})
    assert np.frombuffer(memory.read(16, 16), np.float32).tolist() == [7, 8, 14, 16]


async def test_F13_an_output_is_not_written_to_a_region_that_was_shrunk(wire: Wire, memory: Segment) -> None:
    await wire.register("r", memory.key, 64)
    memory.resize(31)
    await wire.refused(wire.infer("identity", {"x": ROW}, {"y": OUT}), INVALID)
    assert len(memory.read()) == 31


async def test_F14_a_region_that_nobody_has_is_unknown_and_said_so(wire: Wire, memory: Segment) -> None:
    # Principals come with authentication; that each has names of its own is in test_regions.py.
    await wire.register("mine", memory.key, 64)
    message = await wire.refused(wire.infer("identity", {"x": IN}), UNKNOWN)
    assert "'r'" in message
    assert "mine" not in message


class TestBounded:
    """With room for 32 bytes of copies, and regions of up to 48: a small request may name much."""

    @pytest.fixture
    def config(self) -> SharedMemoryConfig:
        return SharedMemoryConfig(enabled=True, max_in_flight=32, max_region=48, prefix="/test_")

    async def test_one_request_that_names_more_than_may_be_copied_is_too_large(
        self, wire: Wire, memory: Segment
    ) -> None:
        await wire.register("r", memory.key, 48)
        inputs = {"x": Shared(At("r", 20), "FP32", (5,)), "x1": Shared(At("r", 16), "FP32", (4,))}
        assert "max_in_flight" in await wire.refused(wire.infer("pair", inputs), TOO_LARGE)

    async def test_several_requests_that_name_too_much_together_are_busy(
        self, stand: Stand, wire: Wire, memory: Segment
    ) -> None:
        await wire.register("r", memory.key, 48)
        call = asyncio.create_task(wire.infer("held", {"x": IN}))
        await stand.holding.begun.wait()
        two = {"x": Shared(At("r", 12), "FP32", (3,)), "x1": Shared(At("r", 8), "FP32", (2,))}
        assert "max_in_flight" in await wire.refused(wire.infer("pair", two), BUSY)
        stand.holding.release()
        await call
        await wire.infer("pair", two)

    async def test_a_region_over_its_limit_is_too_large(self, wire: Wire, memory: Segment) -> None:
        assert "max_region" in await wire.refused(wire.register("r", memory.key, 49), TOO_LARGE)

    async def test_F3_a_key_without_the_operators_prefix_is_refused(
        self, wire: Wire, memory: Segment
    ) -> None:
        message = await wire.refused(wire.register("r", "/inf_x", 8), FORBIDDEN)
        assert "test_" not in message
        await wire.register("r", memory.key, 8)
