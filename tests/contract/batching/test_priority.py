"""Who goes first, as in Triton's suite L0_priority."""

import asyncio

import pytest

from tests.contract.batching.stand import AS_TRITON, Client, Ran, busy
from tests.support.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_higher_level_goes_first(server: RunningServer, client: Client) -> None:
    ran = Ran(server, "levels")
    async with busy(server, "levels") as holding, asyncio.TaskGroup() as group:
        # The rows tell who it was: 0 and what is no level are the default one, which is 2.
        for rows, priority in ((1, 3), (2, 0), (3, 1), (4, 2), (5, 1), (6, 7)):
            await holding.send(group, client.infer("levels", rows, priority=priority))
        await holding.let_go()
    assert [rows for rows, _ in ran.batches] == [3, 5, 2, 4, 6, 1]


async def test_each_level_has_places_of_its_own(server: RunningServer, client: Client) -> None:
    async with busy(server, "places") as holding, asyncio.TaskGroup() as group:
        await holding.send(group, client.infer("places", priority=2))
        refusal = await client.refused("places", priority=2)
        for priority in (1, 0):
            await holding.send(group, client.infer("places", priority=priority))
        await holding.let_go()
    assert "1 requests of priority 2 wait (batching.priorities.2.max_queue_size)" in refusal


async def test_each_level_has_its_own_timeout(server: RunningServer, client: Client) -> None:
    async with busy(server, "places") as holding, asyncio.TaskGroup() as group:
        await holding.send(group, client.infer("places", priority=1))
        assert "longer than its queue timeout" in await client.refused("places", priority=3)
        assert holding.batcher.waiting_requests == 1
        await holding.let_go()


async def test_levels_of_a_config_pbtxt_are_the_same(server: RunningServer, client: Client) -> None:
    model = AS_TRITON
    async with busy(server, model) as holding, asyncio.TaskGroup() as group:
        await holding.send(group, client.infer(model, priority=1))
        refusal = await client.refused(model, priority=1)
        for _ in range(2):
            await holding.send(group, client.infer(model))
        await holding.let_go()
    assert "1 requests of priority 1 wait" in refusal
