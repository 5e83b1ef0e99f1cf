"""How many may wait, and for how long, as in Triton's suite L0_model_queue."""

import asyncio

import pytest
from tritonclient.utils import InferenceServerException

from tests.contract.batching.stand import FOR_EVER, Client, Ran, batcher_of, busy
from tests.support.server import RunningServer
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_queue_takes_no_more_than_its_size(server: RunningServer, client: Client) -> None:
    async with busy(server, "small") as holding, asyncio.TaskGroup() as group:
        for _ in range(2):
            await holding.send(group, client.infer("small"))
        refusal = await client.refused("small")
        await holding.let_go()
    assert "the queue of model 'small' is full: 2 requests wait (batching.max_queue_size)" in refusal


async def test_who_waits_longer_than_the_default_timeout_is_refused(
    server: RunningServer, client: Client
) -> None:
    async with busy(server, "hasty"):
        assert "longer than its queue timeout" in await client.refused("hasty")


async def test_a_request_may_ask_for_a_shorter_timeout(server: RunningServer, client: Client) -> None:
    async with busy(server, "busy"):
        assert "longer than its queue timeout" in await client.refused("busy", timeout=1000)


async def test_a_request_may_not_ask_for_a_longer_one(server: RunningServer, client: Client) -> None:
    async with busy(server, "hasty"):
        refusal = await client.refused("hasty", timeout=50_000_000)
    assert "longer than its queue timeout" in refusal


async def test_a_timeout_counts_for_nothing_where_it_is_not_allowed(
    server: RunningServer, client: Client
) -> None:
    async with busy(server, "strict") as holding, asyncio.TaskGroup() as group:
        await holding.send(group, client.infer("strict", timeout=1))
        await client.infer("full", 8)
        assert holding.batcher.waiting_requests == 1
        await holding.let_go()


async def test_who_has_waited_too_long_goes_behind_those_that_have_not(
    server: RunningServer, client: Client
) -> None:
    ran = Ran(server, "patient")
    async with busy(server, "patient") as holding, asyncio.TaskGroup() as group:
        await holding.send(group, client.infer("patient", 1, timeout=1000))
        await until(lambda: holding.batcher.waiting()[0].delayed)
        await holding.send(group, client.infer("patient", 2))
        await holding.send(group, client.infer("patient", 3))
        await holding.let_go()
    assert ran.batches == [(2, "single"), (3, "single"), (1, "single")]


async def test_a_caller_that_leaves_the_queue_frees_its_place(server: RunningServer, client: Client) -> None:
    async with busy(server, "small") as holding, asyncio.TaskGroup() as group:
        gone = await holding.send(group, client.infer("small"))
        await holding.send(group, client.infer("small"))
        gone.cancel()
        await holding.waiting(1)
        await holding.send(group, client.infer("small"))
        await holding.let_go()


async def test_the_run_of_a_caller_that_leaves_is_ended(server: RunningServer, client: Client) -> None:
    batcher = batcher_of(server, "busy")
    gone = asyncio.ensure_future(client.infer("busy", steps=FOR_EVER))
    await until(lambda: batcher.running == 1)
    gone.cancel()
    await until(lambda: batcher.running == 0)
    await client.infer("busy")


async def test_the_run_of_a_request_whose_deadline_passes_is_ended(
    server: RunningServer, client: Client
) -> None:
    batcher = batcher_of(server, "busy")
    with pytest.raises(InferenceServerException):
        await client.infer("busy", steps=FOR_EVER, **client.deadline(300))
    await until(lambda: batcher.running == 0)
    await client.infer("busy")
