"""Requests larger than a batch, and identical ones, through the whole server over both protocols."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc.aio as triton_grpc
import tritonclient.http.aio as triton_http

from onnxd.repository.served import ServedVersion
from onnxd.telemetry.statistics import StatisticsSnapshot
from onnxd.tensors import Array
from tests.contract.wire_client import Kind, Refused, Request, WireClient
from tests.support.graphs import add_one
from tests.support.scraping import Scrape
from tests.support.server import RunningServer, publish, running_server
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_ROWS: Final = 8
MOST_ROWS: Final = 64 * MAX_ROWS
LARGE: Final = "max_batch_size: 8\nbatching: {split_large: true}\n"
# Held until 8 rows are there: what is sent before is in flight together for certain.
IDENTICAL: Final = "max_batch_size: 8\nbatching: {single_flight: true, max_queue_delay: 60s}\n"
CONFIGS: Final = {
    "large": LARGE,
    "plain": "max_batch_size: 8\n",
    "identical_http": IDENTICAL,
    "identical_grpc": IDENTICAL,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("large")
    for model, config in CONFIGS.items():
        publish(root / "models", model, 1, add_one(), config)
    async with running_server(root / "models", root / "state") as running:
        yield running


def served(server: RunningServer, model: str) -> ServedVersion:
    return server.server.inference.served(model, None)


def counted(server: RunningServer, model: str) -> StatisticsSnapshot:
    return served(server, model).statistics.snapshot()


def numbered(rows: int, first: int = 0) -> Array:
    """Rows that tell which they are."""
    return np.repeat(np.arange(first, first + rows, dtype=np.float32)[:, None], 4, axis=1)


async def ask(client: WireClient, model: str, rows: Array) -> Array:
    return (await client.infer(model, Request({"x": rows}))).outputs["y"]


# Requests larger than a batch, by every client.


@pytest.mark.parametrize("rows", [9, 20, MOST_ROWS], ids=lambda rows: f"{rows} rows")
async def test_a_large_request_is_answered_in_its_order_and_counted_once(
    server: RunningServer, client: WireClient, rows: int
) -> None:
    before = counted(server, "large")
    answer = await ask(client, "large", numbered(rows))
    assert answer.tolist() == (numbered(rows) + 1).tolist()
    after = counted(server, "large")
    assert after.success.count - before.success.count == 1
    assert after.inference_count - before.inference_count == rows
    assert after.execution_count - before.execution_count == -(-rows // MAX_ROWS)
    assert after.fail.count == before.fail.count


async def test_a_request_with_more_rows_than_parts_allow_is_refused(
    server: RunningServer, client: WireClient
) -> None:
    with pytest.raises(
        Refused, match=f"takes a batch of 1 to {MOST_ROWS} rows, got {MOST_ROWS + 1}"
    ) as refused:
        await ask(client, "large", numbered(MOST_ROWS + 1))
    assert refused.value.kind is Kind.INVALID


async def test_where_the_config_does_not_say_so_nothing_is_split(
    server: RunningServer, client: WireClient
) -> None:
    with pytest.raises(Refused, match="takes a batch of 1 to 8 rows, got 9") as refused:
        await ask(client, "plain", numbered(9))
    assert refused.value.kind is Kind.INVALID


async def test_large_and_small_requests_side_by_side_are_all_answered_right(
    server: RunningServer, client: WireClient
) -> None:
    asked = [numbered(rows, first) for first, rows in enumerate([100, 1, 3, 57, 8, 9, 1, 200])]
    answers = await asyncio.gather(*(ask(client, "large", rows) for rows in asked))
    assert [answer.tolist() for answer in answers] == [(rows + 1).tolist() for rows in asked]


# Identical requests, by a client that can leave while it waits.


Send = Callable[[str, Array], Awaitable[Array]]


def over_http(server: RunningServer) -> AbstractAsyncContextManager[Send]:
    client = triton_http.InferenceServerClient(server.http.removeprefix("http://"), conn_limit=64)
    return sender(client, triton_http.InferInput)


def over_grpc(server: RunningServer) -> AbstractAsyncContextManager[Send]:
    return sender(triton_grpc.InferenceServerClient(server.grpc), triton_grpc.InferInput)


@contextlib.asynccontextmanager
async def sender(client: Any, kind: Any) -> AsyncIterator[Send]:
    async def send(model: str, rows: Array) -> Array:
        tensor = kind("x", list(rows.shape), "FP32")
        tensor.set_data_from_numpy(rows)
        answer: Array = (await client.infer(model, [tensor])).as_numpy("y")
        return answer

    async with client:
        yield send


@pytest_asyncio.fixture(loop_scope="module", params=["http", "grpc"])
async def wire(request: pytest.FixtureRequest, server: RunningServer) -> AsyncIterator[tuple[str, Send]]:
    """A protocol, and how to send rows over it."""
    async with (over_http if request.param == "http" else over_grpc)(server) as send:
        yield request.param, send


async def test_identical_requests_in_flight_are_one_run_and_each_is_counted(
    server: RunningServer, wire: tuple[str, Send]
) -> None:
    protocol, send = wire
    model = f"identical_{protocol}"
    before = counted(server, model)
    async with asyncio.TaskGroup() as callers:
        same = [callers.create_task(_of(send(model, numbered(1)))) for _ in range(20)]
        await until(lambda: counted(server, model).joined - before.joined == 19)
        rest = callers.create_task(_of(send(model, numbered(7, first=100))))
    assert [task.result().tolist() for task in same] == [(numbered(1) + 1).tolist()] * 20
    assert rest.result().tolist() == (numbered(7, first=100) + 1).tolist()
    after = counted(server, model)
    assert after.execution_count - before.execution_count == 1
    assert after.success.count - before.success.count == 21
    assert after.inference_count - before.inference_count == 27


async def test_whoever_leaves_leaves_the_others_their_answer(
    server: RunningServer, wire: tuple[str, Send]
) -> None:
    protocol, send = wire
    model = f"identical_{protocol}"
    before = counted(server, model)
    first = asyncio.create_task(_of(send(model, numbered(1, first=5))))
    await until(lambda: served(server, model).batcher.waiting_requests == 1)
    others = [asyncio.create_task(_of(send(model, numbered(1, first=5)))) for _ in range(3)]
    await until(lambda: counted(server, model).joined - before.joined == 3)
    for leaving in (first, others.pop()):
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    await until(lambda: counted(server, model).fail.count - before.fail.count == 2)
    assert served(server, model).batcher.waiting_requests == 1
    await send(model, numbered(7, first=200))
    assert [(await other).tolist() for other in others] == [(numbered(1, first=5) + 1).tolist()] * 2


async def test_when_all_have_left_nothing_waits(server: RunningServer, wire: tuple[str, Send]) -> None:
    protocol, send = wire
    model = f"identical_{protocol}"
    before = counted(server, model)
    callers = [asyncio.create_task(_of(send(model, numbered(1, first=9)))) for _ in range(3)]
    await until(lambda: counted(server, model).joined - before.joined == 2)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await until(lambda: served(server, model).batcher.waiting_requests == 0)
    assert server.server.inference.in_flight == 0


async def test_requests_of_both_protocols_share_a_run(server: RunningServer) -> None:
    before = counted(server, "identical_http")
    async with over_http(server) as first, over_grpc(server) as second, asyncio.TaskGroup() as callers:
        answers = [callers.create_task(_of(send("identical_http", numbered(1)))) for send in (first, second)]
        await until(lambda: counted(server, "identical_http").joined - before.joined == 1)
        await first("identical_http", numbered(7, first=300))
    one, other = (task.result() for task in answers)
    assert one.tolist() == other.tolist() == (numbered(1) + 1).tolist()


async def test_the_metrics_tell_how_many_joined(server: RunningServer) -> None:
    async with aiohttp.ClientSession() as session, session.get(server.metrics) as answer:
        seen = Scrape.of(await answer.text())
    for model in ("identical_http", "identical_grpc"):
        assert seen.value("onnxd_requests_joined_total", model=model) == counted(server, model).joined > 0
    assert seen.value("onnxd_requests_joined_total", model="plain") == 0


async def test_the_loaded_settings_are_those_of_the_config(server: RunningServer) -> None:
    said: Mapping[str, tuple[bool, bool]] = {
        model: (batching.split_large, batching.single_flight)
        for model in CONFIGS
        for batching in [served(server, model).config.batching]
    }
    assert said["large"] == (True, False)
    assert said["identical_http"] == (False, True)
    assert said["plain"] == (False, False)


async def _of(answer: Awaitable[Any]) -> Any:
    """A coroutine, as tasks are made of."""
    return await answer
