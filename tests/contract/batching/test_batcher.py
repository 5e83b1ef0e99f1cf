"""When a batch is sent, and what is in it, as in Triton's suite L0_batcher."""

import asyncio

import pytest

from tests.contract.batching.stand import Client, Ran, busy
from tests.support.server import RunningServer
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_batch_is_sent_when_its_rows_are_the_maximum(server: RunningServer, client: Client) -> None:
    ran = Ran(server, "full")
    one, two = await asyncio.gather(client.infer("full", 3, value=1.0), client.infer("full", 5, value=2.0))
    assert ran.batches == [(8, "full")]
    assert (one.tolist(), two.tolist()) == ([[2.0] * 4] * 3, [[3.0] * 4] * 5)


async def test_a_batch_is_sent_at_a_preferred_size(server: RunningServer, client: Client) -> None:
    ran = Ran(server, "preferred")
    await client.infer("preferred", 4)
    await asyncio.gather(client.infer("preferred"), client.infer("preferred"))
    assert ran.batches == [(4, "preferred"), (2, "preferred")]


async def test_a_batch_that_grows_no_more_is_sent_after_the_delay(
    server: RunningServer, client: Client
) -> None:
    ran = Ran(server, "delayed")
    await client.infer("delayed", 3)
    assert ran.batches == [(3, "delay")]


async def test_a_request_is_not_held_back_so_long_that_it_would_expire(
    server: RunningServer, client: Client
) -> None:
    ran = Ran(server, "full")
    await client.infer("full", 3, timeout=100_000)
    assert ran.batches == [(3, "deadline")]


async def test_requests_of_another_shape_do_not_end_a_batch(server: RunningServer, client: Client) -> None:
    ran = Ran(server, "shapes")
    await asyncio.gather(*(client.infer("shapes", width=width) for width in (2, 3) * 4))
    assert ran.batches == [(4, "full"), (4, "full")]


async def test_what_collects_while_the_model_is_busy_is_run_together(
    server: RunningServer, client: Client
) -> None:
    ran = Ran(server, "busy")
    async with busy(server, "busy") as holding, asyncio.TaskGroup() as group:
        answers = [group.create_task(client.infer("busy", rows, value=rows)) for rows in (1, 2, 4)]
        await holding.waiting(3)
        await holding.let_go()
    assert ran.batches == [(7, "freed")]
    assert [answer.result()[0, 0] for answer in answers] == [1, 2, 4]


async def test_without_batching_each_request_runs_with_its_own_rows(
    server: RunningServer, client: Client
) -> None:
    ran = Ran(server, "alone")
    async with busy(server, "alone") as holding, asyncio.TaskGroup() as group:
        await holding.send(group, client.infer("alone", 3))
        await holding.send(group, client.infer("alone", 2))
        await holding.let_go()
    assert ran.batches == [(3, "single"), (2, "single")]


async def test_instances_do_not_split_a_batch_between_them(server: RunningServer, client: Client) -> None:
    ran = Ran(server, "instances")
    async with busy(server, "instances", 2) as holding, asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(client.infer("instances"))
        await holding.waiting(6)
        await holding.let_go()
    assert ran.batches == [(6, "freed")]


async def test_answers_keep_the_order_of_their_requests_over_instances(
    server: RunningServer, client: Client
) -> None:
    ran = Ran(server, "ordered")
    async with busy(server, "ordered") as holding, asyncio.TaskGroup() as group:
        later = [group.create_task(client.infer("ordered")) for _ in range(2)]
        await until(lambda: len(ran.batches) == 2)  # by the other instance
        await client.infer("full", 8)  # an answer that had left would be here by now
        assert [answer.done() for answer in later] == [False, False]
        await holding.let_go()
