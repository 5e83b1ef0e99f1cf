"""Copies on threads: a caller that goes away must not take the files from under them."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

from onnxd.errors import DeadlineExceeded, InvalidRequest, PermissionDenied
from onnxd.messages import ANONYMOUS, InferRequest, InferResponse, RequestedOutput, SharedInput, SharedPlace
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.shared_memory import Registration
from onnxd.shared_memory.config import SharedMemoryConfig
from onnxd.shared_memory.held import Held
from onnxd.shared_memory.service import ON_LOOP_BYTES, SharedMemory
from onnxd.tensors import Array, Datatype
from tests.support.segments import Segment, segment
from tests.support.until import until

MUCH = ON_LOOP_BYTES + 1


class GatedHeld(Held):
    """Reads when the test says so."""

    def __init__(self, held: Held) -> None:
        self.__dict__.update(held.__dict__)
        self.begun = threading.Event()
        self.gate = threading.Event()

    def read(self, limits: ProtocolLimits) -> dict[str, Array]:
        self.begun.set()
        assert self.gate.wait(20)
        return super().read(limits)


@pytest.fixture
def memory() -> Iterator[Segment]:
    with segment(2 * MUCH, bytes([7]) * MUCH) as made:
        yield made


@pytest.fixture
def shared(memory: Segment) -> Iterator[SharedMemory]:
    with SharedMemory(SharedMemoryConfig(enabled=True)) as opened:
        opened.register(ANONYMOUS, "r", Registration(memory.key, 0, 2 * MUCH), local=True)
        yield opened


def request(datatype: Datatype = Datatype.UINT8, shape: tuple[int, ...] = (MUCH,)) -> InferRequest:
    return InferRequest(
        "m",
        {},
        shared_inputs={"x": SharedInput(datatype, shape, SharedPlace("r", 0, MUCH))},
        outputs=(RequestedOutput("y", place=SharedPlace("r", MUCH, MUCH)),),
    )


async def test_much_is_read_and_written_on_a_thread(shared: SharedMemory, memory: Segment) -> None:
    asked = request()
    with shared.hold(asked) as held:
        await shared.read_inputs(held, asked)
        assert asked.inputs["x"].tobytes() == bytes([7]) * MUCH
        assert asked.byte_size == MUCH
        response = InferResponse("m", 1, "", {"y": asked.inputs["x"] + 1})
        await shared.write_outputs(held, response)
    assert response.in_shared_memory == {"y"}
    assert memory.read(at=MUCH) == bytes([8]) * MUCH


async def test_a_caller_that_goes_away_leaves_the_files_to_the_thread_that_reads_them(
    shared: SharedMemory, memory: Segment
) -> None:
    asked = request()
    gates: list[GatedHeld] = []

    async def call() -> None:
        with shared.hold(asked) as held:
            gates.append(GatedHeld(held))
            await shared.read_inputs(gates[0], asked)

    caller = asyncio.create_task(call())
    await until(lambda: bool(gates) and gates[0].begun.is_set())
    caller.cancel()
    await asyncio.wait([caller])
    shared.unregister(ANONYMOUS, None, local=True)
    assert memory.opened == 1
    gates[0].gate.set()
    await until(lambda: memory.opened == 0)


async def test_a_caller_that_goes_away_before_its_turn_leaves_nothing_open(
    shared: SharedMemory, memory: Segment
) -> None:
    gates: list[GatedHeld] = []

    async def call() -> None:
        asked = request()
        with shared.hold(asked) as held:
            gates.append(GatedHeld(held))
            await shared.read_inputs(gates[-1], asked)

    callers = [asyncio.create_task(call()) for _ in range(8)]
    await until(lambda: sum(gate.begun.is_set() for gate in gates) == 2)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    shared.unregister(ANONYMOUS, None, local=True)
    assert memory.opened == 1
    for gate in gates:
        gate.gate.set()
    await until(lambda: memory.opened == 0)
    assert sum(gate.begun.is_set() for gate in gates) == 2


async def test_a_copy_is_not_waited_for_beyond_the_deadline(shared: SharedMemory, memory: Segment) -> None:
    asked = request()
    asked.deadline_s = time.monotonic() + 0.01
    with shared.hold(asked) as held:
        gated = GatedHeld(held)
        with pytest.raises(DeadlineExceeded):
            await shared.read_inputs(gated, asked)
    shared.unregister(ANONYMOUS, None, local=True)
    assert memory.opened == 1
    gated.gate.set()
    await until(lambda: memory.opened == 0)


async def test_what_could_not_be_read_is_not_kept(shared: SharedMemory) -> None:
    """Without the garbage collector: a failed request of many bytes is gone once it has been answered."""

    async def fail() -> "weakref.ref[Held]":
        asked = request(Datatype.BOOL)  # 7 is neither true nor false
        with suppress(InvalidRequest), shared.hold(asked) as held:
            kept = weakref.ref(held)
            await shared.read_inputs(held, asked)
            raise AssertionError("it was read")
        return kept

    gc.collect()
    gc.disable()
    try:
        kept = await fail()
        await until(lambda: kept() is None)
    finally:
        gc.enable()


async def test_switched_off_nothing_is_held() -> None:
    with SharedMemory(SharedMemoryConfig()) as off, pytest.raises(PermissionDenied), off.hold(request()):
        pass


async def test_a_small_input_is_read_at_once(shared: SharedMemory) -> None:
    small = InferRequest(
        "m", {}, shared_inputs={"x": SharedInput(Datatype.UINT8, (2,), SharedPlace("r", 0, 2))}
    )
    with shared.hold(small) as held:
        await shared.read_inputs(held, small)
    np.testing.assert_array_equal(small.inputs["x"], [7, 7])
