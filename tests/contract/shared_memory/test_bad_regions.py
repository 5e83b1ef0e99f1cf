"""Table F over both wires, of regions: who may register what, and how much of it.

After each the server is well, answers rightly, and has nothing of the test's open (see conftest.py).
"""

import asyncio
import base64
import json
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxd.shared_memory.config import SharedMemoryConfig
from onnxd.shared_memory.service import SharedMemory
from tests.contract.shared_memory.listeners import Stand
from tests.contract.shared_memory.wire import (
    FORBIDDEN,
    INVALID,
    TAKEN,
    TOO_MANY,
    UNKNOWN,
    WIRES,
    At,
    Refusal,
    Shared,
    Wire,
    http_wire,
)
from tests.support.grpc_server import grpc_server
from tests.support.http_server import http_server
from tests.support.segments import Segment, a_name, segment
from tests.support.serving import identity_spec, served_version, serving

ROW = np.arange(1, 5, dtype=np.float32).reshape(1, 4)
IN = Shared(At("r", 16), "FP32", (1, 4))
OUT = At("r", 16, 16)


# F1: switched off, and from elsewhere.


@pytest.mark.parametrize("wire", WIRES)
async def test_F1_switched_off_nothing_can_be_registered_or_used(quiet: None, wire: str) -> None:
    stand = serving(served_version(identity_spec()))
    async with AsyncExitStack() as resources:
        http = await resources.enter_async_context(http_server(stand))
        grpc = await resources.enter_async_context(grpc_server(stand))
        port = http.port if wire == "HTTP" else grpc.frontend.port
        client = await resources.enter_async_context(WIRES[wire](port))
        memory = resources.enter_context(segment(64))
        for call in (
            client.register("r", memory.key, 64),
            client.infer("identity", {"x": IN}),
            client.infer("identity", {"x": ROW}, {"y": OUT}),
            client.infer("unknown", {"x": IN}),
        ):
            assert "shared_memory.enabled" in await client.refused(call, FORBIDDEN)
        # With these clients begin and end, whether or not they will use it.
        assert await client.status() == {}
        await client.unregister("r")
        await client.unregister()
        await client.client.unregister_cuda_shared_memory()
        await client.refused(client.status("r"), UNKNOWN)
        metadata = await client.client.get_server_metadata()
        assert "system_shared_memory" not in (
            metadata["extensions"] if client.is_http else metadata.extensions
        )
        await http.assert_well()
        await grpc.calls.assert_well()


def own_address() -> str:
    """An address of this machine that is no loopback; "" where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return ""
        return str(asking.getsockname()[0])


@asynccontextmanager
async def from_elsewhere(address: str, config: SharedMemoryConfig) -> AsyncIterator[tuple[Wire, Wire]]:
    """Two clients of a server that listens everywhere: one that is local, and one that is not."""
    with SharedMemory(config) as shared_memory:
        stand = serving(served_version(identity_spec()), shared_memory=shared_memory)
        async with (
            http_server(stand, host="0.0.0.0") as server,  # noqa: S104 -- the point of it
            http_wire(server.port) as near,
            http_wire(server.port, address) as far,
        ):
            yield near, far


def calls_of(wire: Wire, memory: Segment) -> Iterator[Awaitable[object]]:
    """Everything that is asked of shared memory."""
    yield wire.register("s", memory.key, 64)
    yield wire.status()
    yield wire.infer("identity", {"x": IN})
    yield wire.infer("identity", {"x": ROW}, {"y": OUT})
    yield wire.unregister()


async def test_F1_from_elsewhere_nothing_can_be_registered_asked_or_used(
    quiet: None, memory: Segment
) -> None:
    address = own_address()
    if not address or address.startswith("127."):
        pytest.skip("this machine has only loopback addresses; test_peer.py has the rule itself")
    async with from_elsewhere(address, SharedMemoryConfig(enabled=True)) as (near, far):
        await near.register("r", memory.key, 64)
        for call in calls_of(far, memory):
            assert "local_only" in await far.refused(call, FORBIDDEN)
        assert list(await near.status()) == ["r"]
    async with from_elsewhere(address, SharedMemoryConfig(enabled=True, local_only=False)) as (near, far):
        await near.register("r", memory.key, 64)
        for call in calls_of(far, memory):
            await call
        assert await near.status() == {}


async def test_F1_a_web_page_is_not_the_machine_that_shows_it(stand: Stand, memory: Segment) -> None:
    page = {"Origin": "http://localhost"}
    register = json.dumps({"key": memory.key, "byte_size": 64}).encode()
    answer = await stand.http.post("/v2/systemsharedmemory/region/r/register", register, page)
    assert answer.status == 403
    async with WIRES["HTTP"](stand.http.port) as wire:
        await wire.register("r", memory.key, 64)
        use = {
            "inputs": [
                {
                    "name": "x",
                    "shape": [1, 4],
                    "datatype": "FP32",
                    "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 16},
                }
            ]
        }
        answer = await stand.http.post("/v2/models/identity/infer", json.dumps(use).encode(), page)
        assert answer.status == 403


# F2, F3, F5, F7: what is registered.

NO_NAMES: dict[str, str] = {
    "slash": "/",
    "slashes": "///",
    "out-of-the-directory": "../x",
    "into-a-directory": "/a/b",
    "NUL": "\0",
    "300-characters": "x" * 300,
}


@pytest.mark.parametrize("key", NO_NAMES.values(), ids=NO_NAMES.keys())
async def test_F2_a_key_that_is_no_name_is_refused(wire: Wire, key: str) -> None:
    await wire.refused(wire.register("r", key, 64), INVALID)
    assert await wire.status() == {}


RESERVED: dict[str, tuple[str, Refusal]] = {
    "the-servers-own": ("onnxd-1", FORBIDDEN),
    "the-servers-own-with-a-slash": ("/onnxd-1", FORBIDDEN),
    "the-servers-own-with-two": ("//onnxd-1", INVALID),
    "the-servers-own-with-three": ("///onnxd-1", INVALID),
    "a-semaphore": ("/sem.x", FORBIDDEN),
}


@pytest.mark.parametrize(("key", "kind"), RESERVED.values(), ids=RESERVED.keys())
async def test_F3_a_key_that_is_not_for_clients_is_refused(wire: Wire, key: str, kind: Refusal) -> None:
    await wire.refused(wire.register("r", key, 64), kind)
    assert await wire.status() == {}


ODD: dict[str, Callable[[Path], None]] = {
    "symlink": lambda path: path.symlink_to("/etc/hostname"),
    "FIFO": os.mkfifo,
    "directory": lambda path: path.mkdir(),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD.keys())
async def test_F5_what_is_no_plain_object_is_refused(wire: Wire, make: Callable[[Path], None]) -> None:
    with a_name() as path:
        make(path)
        await wire.refused(wire.register("r", path.name, 1), INVALID)


BEYOND: dict[str, tuple[int, int]] = {
    "size-plus-1": (65, 0),
    "offset-plus-1": (64, 1),
    "offset-at-the-end": (1, 64),
    "offset-beyond": (1, 65),
    "size-of-0": (0, 0),
    "size-of-2**63": (2**63, 0),
    "size-of-2**64-1": (2**64 - 1, 1),
    "offset-of-2**64-1": (1, 2**64 - 1),
}


@pytest.mark.parametrize(("size", "offset"), BEYOND.values(), ids=BEYOND.keys())
async def test_F7_a_region_beyond_its_object_is_refused(
    wire: Wire, memory: Segment, size: int, offset: int
) -> None:
    await wire.refused(wire.register("r", memory.key, size, offset), INVALID)
    assert await wire.status() == {}


async def test_F7_a_negative_size_or_offset_is_refused(stand: Stand, memory: Segment) -> None:
    # Over gRPC there is no way to say it.
    async with WIRES["HTTP"](stand.http.port) as wire:
        await wire.refused(wire.register("r", memory.key, -1), INVALID)
        await wire.refused(wire.register("r", memory.key, 8, -1), INVALID)


# F4, F6: the registry.


async def test_F4_a_name_that_is_taken_is_refused(wire: Wire, memory: Segment) -> None:
    await wire.register("r", memory.key, 64)
    assert "'r'" in await wire.refused(wire.register("r", memory.key, 32), TAKEN)
    assert await wire.status() == {"r": (memory.key, 0, 64)}


async def test_F4_forgetting_what_is_not_there_is_no_mistake(wire: Wire) -> None:
    await wire.unregister("unknown")
    await wire.unregister()


async def test_F4_a_region_that_is_forgotten_in_use_stays_until_its_request_has_ended(
    stand: Stand, wire: Wire, memory: Segment
) -> None:
    await wire.register("r", memory.key, 64)
    call = asyncio.create_task(wire.infer("held", {"x": IN}, {"y": OUT}))
    await stand.holding.begun.wait()
    await wire.unregister()
    assert await wire.status() == {}
    await wire.refused(wire.infer("identity", {"x": IN}), UNKNOWN)
    assert memory.opened == 1
    stand.holding.release()
    assert (await call)["y"].array is None
    assert memory.read(16, 16) == ROW.tobytes()
    assert memory.opened == 0


async def test_F6_there_are_so_many_regions_and_no_more(wire: Wire, memory: Segment) -> None:
    for number in range(32):
        await wire.register(str(number), memory.key, 64)
    message = await wire.refused(wire.register("one more", memory.key, 64), TOO_MANY)
    assert "max_regions" in message
    assert memory.opened == 32
    await wire.unregister("7")
    await wire.register("one more", memory.key, 64)


async def test_a_hundred_registrations_leave_no_file_open(wire: Wire, memory: Segment) -> None:
    for _ in range(100):
        await wire.register("r", memory.key, 64)
        await wire.unregister("r")
    assert memory.opened == 0


# F15: CUDA.


def handles(wire: Wire) -> dict[str, Any]:
    """tritonclient takes the handle in base64, and over gRPC it decodes it."""
    known = {"random": base64.b64encode(secrets.token_bytes(64)).decode(), "short": "QQ==", "empty": ""}
    return known | ({"not-base64": "%"} if wire.is_http else {})


@pytest.mark.parametrize("device", [0, 99])
async def test_F15_a_CUDA_handle_is_refused_whatever_it_is(wire: Wire, device: int) -> None:
    for handle in handles(wire).values():
        for _ in range(2):
            call = wire.client.register_cuda_shared_memory("r", handle, device, 64)
            assert "CUDA" in await wire.refused(call, INVALID)


async def test_F15_there_are_no_CUDA_regions_to_ask_for_and_any_to_forget(
    wire: Wire, memory: Segment
) -> None:
    await wire.register("r", memory.key, 64)
    answer = await wire.client.get_cuda_shared_memory_status()
    assert answer == [] if wire.is_http else not answer.regions
    await wire.refused(wire.client.get_cuda_shared_memory_status("r"), UNKNOWN)
    await wire.client.unregister_cuda_shared_memory("r")
    await wire.client.unregister_cuda_shared_memory()
    assert list(await wire.status()) == ["r"]


# HTTP's own forms.

BODIES: dict[str, bytes] = {
    "no-body": b"",
    "no-object": b"[]",
    "half-a-body": b"{",
    "no-key": b'{"byte_size":8}',
    "no-size": b'{"key":"/x"}',
    "key-of-another-type": b'{"key":7,"byte_size":8}',
    "size-of-another-type": b'{"key":"/x","byte_size":"8"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_registration_that_is_malformed_is_refused(stand: Stand, body: bytes) -> None:
    answer = await stand.http.post("/v2/systemsharedmemory/region/r/register", body)
    assert answer.status == 400
    assert answer.error


async def test_a_registration_without_a_name_is_refused(stand: Stand) -> None:
    body = b'{"key":"/x","byte_size":8}'
    for kind in ("system", "cuda"):
        for path in (f"/v2/{kind}sharedmemory/register", f"/v2/{kind}sharedmemory/region//register"):
            assert (await stand.http.post(path, body)).status == 400


async def test_a_wrong_method_is_not_allowed(stand: Stand) -> None:
    assert (await stand.http.post("/v2/systemsharedmemory/status")).status == 405
    assert (await stand.http.get("/v2/systemsharedmemory/region/r/register")).status == 405
    assert (await stand.http.get("/v2/systemsharedmemory")).status == 404
