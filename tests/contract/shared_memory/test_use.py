"""Tensors in shared memory beside tensors in the request, over both wires."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from onnxd.tensors import Array
from tests.contract.shared_memory.listeners import Stand
from tests.contract.shared_memory.wire import INVALID, UNKNOWN, Answered, At, Shared, Wire, grpc_wire
from tests.support.segments import Segment, segment

ROW = np.arange(1, 5, dtype=np.float32).reshape(1, 4)
IN = Shared(At("r", 16), "FP32", (1, 4))
"""The first 16 bytes of the region `r`."""
LARGE = 2**20
"""Elements of a tensor that is copied on a thread."""


async def test_a_region_is_registered_shown_and_forgotten(wire: Wire, memory: Segment) -> None:
    await wire.register("b", memory.key, 32, 16)
    await wire.register("a", memory.key.removeprefix("/"), 64)
    assert await wire.status() == {"a": (memory.key[1:], 0, 64), "b": (memory.key, 16, 32)}
    assert await wire.status("b") == {"b": (memory.key, 16, 32)}
    await wire.unregister("b")
    assert list(await wire.status()) == ["a"]
    await wire.refused(wire.status("b"), UNKNOWN)
    await wire.unregister()
    assert await wire.status() == {}


async def test_names_are_percent_encoded_on_the_way(wire: Wire, memory: Segment) -> None:
    for name in ("input:0 ä%2F", "status", "x" * 200):
        await wire.register(name, memory.key, 64)
        assert list(await wire.status(name)) == [name]
        await wire.unregister(name)


async def test_an_input_is_read_and_an_output_is_written(wire: Wire, memory: Segment) -> None:
    await wire.register("r", memory.key, 64)
    answer = await wire.infer("identity", {"x": IN}, {"y": At("r", 32, 32)})
    assert answer == {"y": Answered("FP32", (1, 4), None)}
    assert memory.read(16, 32) == ROW.tobytes()
    assert memory.read(at=48) == bytes(16)


async def test_an_output_may_be_in_the_answer_although_its_input_was_not(wire: Wire, memory: Segment) -> None:
    await wire.register("r", memory.key, 64)
    for outputs in (None, {"y": None}):
        answer = await wire.infer("identity", {"x": IN}, outputs)
        np.testing.assert_array_equal(answer["y"].array, ROW)


async def test_an_output_may_be_in_shared_memory_although_its_input_was_not(
    wire: Wire, memory: Segment
) -> None:
    await wire.register("r", memory.key, 64)
    answer = await wire.infer("identity", {"x": ROW * 2}, {"y": At("r", 16, 4)})
    assert answer["y"].array is None
    assert memory.read(16, 4) == (ROW * 2).tobytes()


async def test_both_kinds_may_be_in_one_request(wire: Wire, memory: Segment) -> None:
    await wire.register("r", memory.key, 64)
    plain = np.array([7, 8], np.float32)
    shared = Shared(At("r", 12), "FP32", (3,))

    answer = await wire.infer("pair", {"x": plain, "x1": shared}, {"y1": None, "y": At("r", 16, 16)})
    np.testing.assert_array_equal(answer["y1"].array, [1, 2, 3])
    assert memory.read(8, 16) == plain.tobytes()

    answer = await wire.infer("pair", {"x": shared, "x1": plain}, {"y1": None, "y": At("r", 16, 16)})
    np.testing.assert_array_equal(answer["y1"].array, [7, 8])
    assert memory.read(12, 16) == ROW[0, :3].tobytes()


async def test_F12_the_same_place_may_be_read_and_written(wire: Wire, memory: Segment) -> None:
    await wire.register("r", memory.key, 64)
    swapped = {
        "x": Shared(At("r", 8), "FP32", (2,)),
        "x1": Shared(At("r", 8, 8), "FP32", (2,)),
    }
    await wire.infer("pair", swapped, {"y": At("r", 8, 8), "y1": At("r", 8)})
    assert np.frombuffer(memory.read(16), np.float32).tolist() == [3, 4, 1, 2]


async def test_the_offsets_of_region_and_tensor_add_up(wire: Wire, memory: Segment) -> None:
    await wire.register("r", memory.key, 40, 8)
    await wire.infer("identity", {"x": ROW}, {"y": At("r", 16, 24)})
    assert memory.read(16, 32) == ROW.tobytes()
    assert memory.read(at=48) == bytes(16)


async def test_an_output_may_be_given_more_room_than_it_takes(wire: Wire, memory: Segment) -> None:
    await wire.register("r", memory.key, 64)
    memory.write(b"\xff" * 64)
    await wire.infer("identity", {"x": ROW}, {"y": At("r", 64)})
    assert memory.read() == ROW.tobytes() + b"\xff" * 48


async def test_text_has_its_lengths_in_shared_memory_too(wire: Wire, memory: Segment) -> None:
    await wire.register("r", memory.key, 64)
    text = b"\3\0\0\0abc\0\0\0\0\2\0\0\0\xc3\xa4"
    memory.write(text)
    source = Shared(At("r", len(text)), "BYTES", (3,))
    answer = await wire.infer("text", {"x": source})
    assert answer["y"].array is not None
    assert answer["y"].array.tolist() == [b"abc", b"", "ä".encode()]
    await wire.infer("text", {"x": source}, {"y": At("r", 32, 32)})
    assert memory.read(len(text), 32) == text


async def test_text_that_is_not_text_is_refused(wire: Wire, memory: Segment) -> None:
    await wire.register("r", memory.key, 64)
    memory.write(b"\1\0\0\0\xff")
    message = await wire.refused(wire.infer("text", {"x": Shared(At("r", 5), "BYTES", (1,))}), INVALID)
    assert "UTF-8" in message


async def test_much_is_copied_beside_the_loop(wire: Wire) -> None:
    large = np.arange(LARGE, dtype=np.float32)
    with segment(2 * large.nbytes, large.tobytes()) as memory:
        await wire.register("r", memory.key, 2 * large.nbytes)
        source = Shared(At("r", large.nbytes), "FP32", large.shape)
        target = At("r", large.nbytes, large.nbytes)
        await wire.infer("pair", {"x": source, "x1": np.zeros(1, np.float32)}, {"y": target})
        assert memory.read(at=large.nbytes) == large.tobytes()
        memory.resize(large.nbytes)
        inputs: dict[str, Array | Shared] = {"x": source, "x1": np.zeros(1, np.float32)}
        await wire.refused(wire.infer("pair", inputs, {"y": target}), INVALID)
        memory.resize(16)
        await wire.refused(wire.infer("pair", inputs), INVALID)
        await wire.unregister()


async def test_a_caller_that_goes_away_leaves_nothing_open(stand: Stand, wire: Wire, memory: Segment) -> None:
    await wire.register("r", memory.key, 64)
    call = asyncio.create_task(wire.infer("held", {"x": IN}, {"y": At("r", 16, 16)}))
    await stand.holding.begun.wait()
    call.cancel()
    await asyncio.wait([call])
    await wire.unregister()
    async with asyncio.timeout(20):
        while memory.opened:  # noqa: ASYNC110 -- the server hears of it in its own time
            await asyncio.sleep(0.001)
    stand.holding.release()
    assert memory.read(at=16) == bytes(48)


async def test_a_stream_reads_and_writes_too(stand: Stand, memory: Segment) -> None:
    async with grpc_wire(stand.grpc.frontend.port) as wire:
        await wire.register("r", memory.key, 64)

        async def requests() -> AsyncIterator[dict[str, Any]]:
            for target in (At("r", 16, 16), At("r", 8, 16), At("unknown", 16), At("r", 16, 48)):
                yield {
                    "model_name": "identity",
                    "inputs": [wire.input("x", IN)],
                    "outputs": [wire.output("y", target)],
                }

        answers = [answer async for answer in wire.client.stream_infer(requests())]
        assert [error is None for _, error in answers] == [True, False, False, True]
        for result, error in answers:
            if error is None:
                assert wire.answered(result) == {"y": Answered("FP32", (1, 4), None)}
        assert memory.read(16, 16) == memory.read(16, 48) == ROW.tobytes()


async def test_what_perf_analyzer_does_around_its_run_is_answered(wire: Wire, memory: Segment) -> None:
    await wire.client.unregister_system_shared_memory("")
    await wire.client.unregister_cuda_shared_memory("")
    await wire.register("y", memory.key, 16, 16)
    await wire.register("x_0_0", memory.key, 16)
    for _ in range(3):
        await wire.infer("identity", {"x": Shared(At("x_0_0", 16), "FP32", (1, 4))}, {"y": At("y", 16)})
    assert memory.read(16, 16) == ROW.tobytes()
    await wire.client.unregister_system_shared_memory("")
    await wire.client.unregister_cuda_shared_memory("")
    assert await wire.status() == {}


async def test_the_extension_is_listed(wire: Wire) -> None:
    metadata = await wire.client.get_server_metadata()
    extensions = metadata["extensions"] if wire.is_http else metadata.extensions
    assert "system_shared_memory" in extensions
    assert "cuda_shared_memory" not in extensions


@pytest.mark.parametrize("count", [1, 64])
async def test_requests_at_once_may_share_their_places(wire: Wire, memory: Segment, count: int) -> None:
    await wire.register("r", memory.key, 64)
    calls = (wire.infer("identity", {"x": IN}, {"y": At("r", 16, 16)}) for _ in range(count))
    assert await asyncio.gather(*calls) == [{"y": Answered("FP32", (1, 4), None)}] * count
    assert memory.read(16, 16) == ROW.tobytes()
