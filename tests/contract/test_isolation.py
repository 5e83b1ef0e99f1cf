"""Requests that kill a model's process or ask it for all memory, over both wires: rows E9, E11 and E12.

The server is the command in a process of its own, so that whatever harms it is seen.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

import numpy as np
import pytest
import pytest_asyncio

from tests.contract.triton_clients import triton_grpc_aio, triton_http_aio
from tests.contract.wire_client import Array, Kind, Refused, Request, WireClient
from tests.support.children import has_ended, resident_bytes, workers
from tests.support.driven_graphs import DRIVEN
from tests.support.graphs import add_one, int_div
from tests.support.server import ServerProcess, publish, server_process
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIRES: Final = ("HTTP", "gRPC")
SEVEN: Final = {"a": np.array([7], np.int32), "b": np.array([2], np.int32)}
DEADLY: Final = {"a": np.array([-(2**31)], np.int32), "b": np.array([-1], np.int32)}
"""The smallest number by -1."""
MAY_GROW_BYTES: Final = 128 * 2**20
GIB: Final = 2**30


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """With a model that only requests can harm, and for each test and wire one that they can."""
    root = tmp_path_factory.mktemp("isolation")
    publish(root / "models", "bystander", 1, add_one(), "max_batch_size: 8\n")
    for wire in WIRES:
        for test in ("divides", "segfaults", "dies"):
            publish(root / "models", f"{test}_{wire}", 1, int_div())
    for name, graph in DRIVEN.items():
        publish(root / "models", name, 1, graph)
    with server_process(root / "models", root / "state") as process:
        yield process


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients(server: ServerProcess) -> AsyncIterator[dict[str, WireClient]]:
    """By their wire."""
    async with (
        triton_http_aio(server.http.removeprefix("http://")) as http,
        triton_grpc_aio(server.grpc) as grpc,
    ):
        yield {"HTTP": http, "gRPC": grpc}


async def ask(client: WireClient, model: str, inputs: dict[str, Array]) -> Array:
    async with asyncio.timeout(30):
        return (await client.infer(model, Request(inputs))).outputs["y"]


async def refusal(client: WireClient, model: str, inputs: dict[str, Array]) -> Refused:
    with pytest.raises(Refused) as refused:
        await ask(client, model, inputs)
    return refused.value


@asynccontextmanager
async def undisturbed(server: ServerProcess, clients: dict[str, WireClient]) -> AsyncIterator[None]:
    """All that time the server is the same process and live, and the other model answers over both wires."""
    over = False
    seen = 0

    async def watch(client: WireClient) -> None:
        nonlocal seen
        while not over:
            assert await client.live()
            assert await client.ready()
            answer = await ask(client, "bystander", {"x": np.zeros((1, 4), np.float32)})
            assert answer.tolist() == [[1.0] * 4]
            seen += 1

    async with asyncio.TaskGroup() as watching:
        for client in clients.values():
            watching.create_task(watch(client))
        await until(lambda: seen >= 4)
        try:
            yield
            before = seen
            await until(lambda: seen >= before + 4)
        finally:
            over = True
    assert server.process.poll() is None


def worker_of_new(server: ServerProcess, before: frozenset[int]) -> frozenset[int]:
    """The processes that have been started since."""
    return workers(server.process.pid) - before


@pytest.mark.parametrize("wire", WIRES)
async def test_E9_the_smallest_number_by_minus_one_fails_that_request_only(
    server: ServerProcess, clients: dict[str, WireClient], wire: str
) -> None:
    client, model, before = clients[wire], f"divides_{wire}", workers(server.process.pid)
    async with undisturbed(server, clients):
        for _ in range(2):
            refused = await refusal(client, model, DEADLY)
            assert refused.kind is Kind.FAULT
            assert f"model '{model}' failed: its process was killed by signal 8 (SIGFPE)" in refused.message
            assert (await ask(client, model, SEVEN)).tolist() == [3]
    assert len(worker_of_new(server, before)) == 1


@pytest.mark.parametrize("wire", WIRES)
async def test_a_process_that_is_killed_is_replaced_and_nobody_else_notices(
    server: ServerProcess, clients: dict[str, WireClient], wire: str
) -> None:
    client, model = clients[wire], f"segfaults_{wire}"
    before = workers(server.process.pid)
    await client.unload(model)
    await until(lambda: workers(server.process.pid) < before)
    others = workers(server.process.pid)
    await client.load(model)
    [worker] = worker_of_new(server, others)
    async with undisturbed(server, clients):
        os.kill(worker, signal.SIGSEGV)
        await until(lambda: bool(worker_of_new(server, others) - {worker}))
        assert (await ask(client, model, SEVEN)).tolist() == [3]
        assert await client.model_ready(model)
    assert has_ended(worker)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_model_whose_process_keeps_dying_is_unavailable_until_it_is_loaded_again(
    server: ServerProcess, clients: dict[str, WireClient], wire: str
) -> None:
    client, model = clients[wire], f"dies_{wire}"
    async with undisturbed(server, clients):
        for _ in range(5):
            assert (await refusal(client, model, DEADLY)).kind is Kind.FAULT
        refused = await refusal(client, model, SEVEN)
        assert refused.kind is Kind.UNAVAILABLE
        assert "its process had died 5 times within 60 s" in refused.message
        assert not await client.model_ready(model)
        [entry] = [entry for entry in await client.index() if entry.name == model]
        assert entry.state == "UNAVAILABLE"
        assert "signal 8 (SIGFPE)" in entry.reason
        await client.load(model)
        assert (await ask(client, model, SEVEN)).tolist() == [3]
        assert await client.model_ready(model)


async def test_the_index_says_why_a_model_is_isolated(clients: dict[str, WireClient]) -> None:
    for client in clients.values():
        reasons = {entry.name: entry.reason for entry in await client.index()}
        assert reasons["bystander"] == ""
        assert reasons["divides_HTTP"] == (
            "runs in a process of its own: Div 'y' divides INT32 by what may be -1"
        )


async def is_refused_for_memory(server: ServerProcess, client: WireClient, model: str, elements: int) -> None:
    """And leaves both processes no larger than they were, and the model at work."""
    pids = (server.process.pid, *workers(server.process.pid))
    before = sum(map(resident_bytes, pids))
    refused = await refusal(client, model, {"x": np.array([elements])})
    assert refused.kind is Kind.UNAVAILABLE
    assert "not enough memory" in refused.message
    assert (await ask(client, model, {"x": np.array([3])})).size in (3, 4)
    assert workers(server.process.pid) == frozenset(pids[1:])
    assert sum(map(resident_bytes, pids)) < before + MAY_GROW_BYTES


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("model", DRIVEN)
async def test_E11_an_output_as_large_as_the_input_says_is_refused_for_memory(
    server: ServerProcess, clients: dict[str, WireClient], wire: str, model: str
) -> None:
    elements = GIB - 1 if model == "tile" else 2**40  # Tile itself refuses more than 4 GiB, as a bad input
    async with undisturbed(server, clients):
        await is_refused_for_memory(server, clients[wire], model, elements)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("model", ["expand", "range"])
async def test_E12_ten_gigabytes_of_output_for_some_bytes_of_input_are_refused_for_memory(
    server: ServerProcess, clients: dict[str, WireClient], wire: str, model: str
) -> None:
    async with undisturbed(server, clients):
        await is_refused_for_memory(server, clients[wire], model, 10 * GIB // 4)
