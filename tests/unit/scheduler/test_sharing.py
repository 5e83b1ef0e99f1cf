"""Several callers of one model: whose turn it is, and who makes room in a full queue."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.errors import QueueFull, RateLimited
from onnxd.messages import InferRequest, Principal
from onnxd.scheduler.fair_share import EQUAL, Weights
from onnxd.scheduler.item import Item, rank_of
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.queue import RequestQueue, oldest_s
from onnxd.scheduler.queue_policy import QueuePolicy
from onnxd.scheduler.tenants import CREDIT_ROWS, REMEMBERED, Tenants
from tests.support.batching import Answer, Scene, result, turns

FLOOD, LIGHT, THIRD = Principal("flood"), Principal("light"), Principal("third")


async def flood(scene: Scene, count: int) -> list[Answer]:
    return [await scene.send(value=100.0 + number, tenant=FLOOD) for number in range(count)]


async def test_who_comes_second_does_not_wait_for_all_that_the_first_has_sent() -> None:
    scene = Scene(max_rows=4)
    await scene.busy()
    await flood(scene, 10)
    await scene.send(value=1.0, tenant=LIGHT)
    scene.free()
    assert scene.values(1) == [1.0, 100.0, 101.0, 102.0] or scene.values(1) == [100.0, 1.0, 101.0, 102.0]


async def test_a_batch_is_filled_from_several_and_each_of_them_keeps_its_order() -> None:
    scene = Scene(max_rows=4)
    await scene.busy()
    await flood(scene, 4)
    for value in (1.0, 2.0, 3.0):
        await scene.send(value=value, tenant=LIGHT)
    scene.free()
    assert scene.values(1) == [100.0, 1.0, 101.0, 2.0]
    scene.free(1)
    assert scene.values(2) == [102.0, 3.0, 103.0]


async def test_rows_are_shared_out_not_requests() -> None:
    scene = Scene(max_rows=8)
    await scene.busy()
    for _ in range(3):
        await scene.send(4, value=100.0, tenant=FLOOD)
    for value in range(1, 9):
        await scene.send(value=float(value), tenant=LIGHT)
    scene.free()
    assert Counter(value >= 100 for value in scene.values(1)) == {True: 4, False: 4}


async def test_a_weight_is_a_share_of_the_rows() -> None:
    scene = Scene(max_rows=8, weights=Weights({"light": 3.0}))
    await scene.busy()
    await flood(scene, 20)
    for value in range(20):
        await scene.send(value=float(value), tenant=LIGHT)
    scene.free()
    assert Counter(value >= 100 for value in scene.values(1)) == {True: 2, False: 6}


async def test_a_higher_level_goes_before_whose_turn_it_is() -> None:
    scene = Scene(max_rows=2, policy=BatchPolicy(priority_levels=2))
    await scene.busy()
    for value in (100.0, 101.0, 102.0):
        await scene.send(value=value, tenant=FLOOD, priority=1)
    await scene.send(value=1.0, tenant=LIGHT, priority=2)
    scene.free()
    assert scene.values(1) == [100.0, 101.0]
    scene.free(1)
    assert scene.values(2) == [102.0, 1.0]


async def test_another_shape_does_not_get_around_the_turns() -> None:
    scene = Scene(max_rows=4)
    await scene.busy()
    await flood(scene, 9)
    await scene.send(value=1.0, width=3, tenant=LIGHT)
    scene.free()
    scene.free(1)
    assert scene.values(2) == [1.0]


async def test_with_answers_in_order_all_are_served_as_they_came() -> None:
    scene = Scene(max_rows=4, policy=BatchPolicy(preserve_ordering=True))
    await scene.busy()
    await flood(scene, 4)
    await scene.send(value=1.0, tenant=LIGHT)
    scene.free()
    assert scene.values(1) == [100.0, 101.0, 102.0, 103.0]


async def test_turns_begin_when_a_queue_that_was_kept_in_order_is_empty() -> None:
    scene = Scene(max_rows=4, policy=BatchPolicy(preserve_ordering=True))
    await scene.busy()
    for tenant in (FLOOD, LIGHT, FLOOD):
        await scene.send(tenant=tenant)
    scene.batcher.reconfigure(BatchPolicy())
    await scene.send(tenant=THIRD)
    scene.free()
    assert scene.runs == [1, 4]
    await flood(scene, 5)
    await scene.send(value=1.0, tenant=LIGHT)
    scene.free(1)
    assert 1.0 in scene.values(2)


async def test_what_expired_in_the_queue_costs_its_tenant_nothing() -> None:
    scene = Scene(max_rows=4)
    await scene.busy()
    for _ in range(20):
        await scene.send(value=100.0, tenant=FLOOD, deadline_s=0.1)
    for value in range(1, 9):
        await scene.send(value=float(value), tenant=LIGHT)
    scene.clock.advance(0.2)
    await flood(scene, 8)
    scene.free()
    assert Counter(value >= 100 for value in scene.values(1)) == {True: 2, False: 2}


async def test_who_asks_for_less_than_its_share_goes_first_when_it_comes_but_saves_up_little() -> None:
    scene = Scene(max_rows=4)
    await scene.busy()
    await flood(scene, 200)
    await scene.send(tenant=LIGHT)
    for place in range(30):
        scene.free(place)
    for _ in range(80):
        await scene.send(value=1.0, tenant=LIGHT)
    for place in range(30, 46):
        scene.free(place)
    given = Counter(value for place in range(31, 47) for value in scene.values(place))[1.0]
    assert abs(given - (CREDIT_ROWS + (64 - CREDIT_ROWS) / 2)) <= 1


# A queue that is full.


async def test_the_last_that_came_of_the_longest_makes_room() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_size=4))
    await scene.busy()
    waiting = await flood(scene, 4)
    light = await scene.send(value=1.0, tenant=LIGHT)
    await turns()
    assert not light.done()
    assert [answer.done() for answer in waiting] == [False, False, False, True]
    with pytest.raises(RateLimited, match="'flood' has the largest share of it") as refused:
        await result(waiting[-1])
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s >= 1
    assert scene.batcher.waiting_requests == 4


async def test_who_has_as_much_as_anybody_is_refused() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_size=4))
    await scene.busy()
    await flood(scene, 4)
    for _ in range(2):
        await scene.send(tenant=LIGHT)
    for tenant in (FLOOD, LIGHT):
        refused = await scene.send(tenant=tenant)
        with pytest.raises(RateLimited, match=r"4 requests wait \(batching.max_queue_size\)"):
            await result(refused)
    assert scene.batcher.waiting_requests == 4


async def test_one_that_is_alone_may_have_all_of_it() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_size=4))
    await scene.busy()
    await flood(scene, 4)
    refused = await scene.send(tenant=FLOOD)
    with pytest.raises(QueueFull, match="is full: 4 requests wait"):
        await result(refused)


async def test_a_heavier_one_has_more_of_it() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_size=8), weights=Weights({"flood": 3.0}))
    await scene.busy()
    await flood(scene, 8)
    for _ in range(4):
        await scene.send(tenant=LIGHT)
    waiting = Counter(row.requests for row in scene.batcher.waiting())
    assert waiting == {8: 1}
    assert scene.statistics.snapshot().failures  # two of the flood, two of the light one


async def test_bytes_are_shared_out_as_well() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_bytes=100))
    await scene.busy()
    large = [await scene.send(byte_size=30, tenant=FLOOD) for _ in range(3)]
    light = await scene.send(byte_size=40, tenant=LIGHT)
    await turns()
    assert [answer.done() for answer in large] == [False, False, True]
    assert not light.done()
    more = await scene.send(byte_size=40, tenant=LIGHT)
    with pytest.raises(RateLimited, match="max_queue_bytes"):
        await result(more)
    for answer in large[-1:]:
        with pytest.raises(RateLimited):
            await result(answer)


async def test_each_level_has_places_of_its_own_however_many_come_of_others() -> None:
    policy = BatchPolicy(priority_levels=2, priorities={1: QueuePolicy(max_queue_size=2)}, max_queue_size=3)
    scene = Scene(policy=policy)
    await scene.busy()
    low = [await scene.send(priority=2, tenant=FLOOD) for _ in range(3)]
    high = [await scene.send(priority=1, tenant=FLOOD) for _ in range(2)]
    await scene.send(priority=1, tenant=LIGHT)
    await turns()
    assert [answer.done() for answer in (*low, *high)] == [False, False, False, False, True]
    with pytest.raises(RateLimited, match=r"priorities\.1\.max_queue_size"):
        await result(high[-1])


# The parts by themselves.


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["push", "take", "discard", "delay"]),
        st.sampled_from("abc"),
        st.sampled_from("xy"),
        st.integers(1, 2),
        st.integers(1, 4),
        st.integers(0, 10**6),
    ),
    max_size=60,
)


@given(steps=STEPS)
def test_every_counter_is_what_the_items_add_up_to_whatever_happens(
    loop: asyncio.AbstractEventLoop, steps: list[tuple[str, str, str, int, int, int]]
) -> None:
    queue, waiting = RequestQueue(), list[Item]()
    for time_s, (what, tenant, shape, level, rows, chance) in enumerate(steps):
        if what == "push":
            request = InferRequest("m", {"x": np.zeros(1)}, byte_size=rows, principal=Principal(tenant))
            waiting.append(Item(request, rows, (), (shape,), time_s, loop.create_future(), rank_of(level)))
            queue.push(waiting[-1])
        elif not waiting:
            continue
        elif what == "take":
            bucket = next(queue.most_urgent_first())
            order = list(bucket)
            assert bucket[0] is order[0]
            assert len(bucket) == len(order)
            assert bucket[-1].rank == order[-1].rank == max(item.rank for item in order)
            assert oldest_s(bucket) == min(item.arrived_s for item in order)
            count = 1 + chance % len(order)
            taken = queue.take(bucket, count)
            assert taken == order[:count]
            waiting = [item for item in waiting if item not in taken]
        else:
            item = waiting[chance % len(waiting)]
            if what == "discard":
                assert queue.discard(item)
                waiting.remove(item)
            else:
                queue.delay(item)
        assert (queue.requests, queue.rows, queue.bytes) == (
            len(waiting),
            sum(item.rows for item in waiting),
            sum(item.request.byte_size for item in waiting),
        )
        assert {item for bucket in queue.buckets.values() for item in bucket} == set(waiting)
        for name in "abc" if queue.tenants is not None else "":
            own = [item for item in waiting if item.request.principal.name == name]
            found = queue.tenants.find(name) if queue.tenants is not None else None
            assert (found.requests if found else 0) == len(own)
            assert (found.rows if found else 0) == sum(item.rows for item in own)
    assert set(queue.take_all()) == set(waiting)
    assert not queue.requests
    assert queue.tenants is None


@given(
    weights=st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=2, max_size=4),
    rows=st.lists(st.integers(1, 8), min_size=4, max_size=4),
    batch=st.integers(1, 16),
)
def test_those_that_always_wait_get_rows_by_their_weights(
    loop: asyncio.AbstractEventLoop, weights: list[float], rows: list[int], batch: int
) -> None:
    names = "abcd"[: len(weights)]
    queue = RequestQueue(Weights(dict(zip(names, weights, strict=True))))
    request = {name: InferRequest("m", {}, principal=Principal(name)) for name in names}

    def push(place: int, time_s: float) -> None:
        queue.push(Item(request[names[place]], rows[place], (), (), time_s, loop.create_future()))

    for time_s in range(batch + 1):
        for place in range(len(names)):
            push(place, time_s)
    served = Counter[str]()
    while sum(served.values()) < 400:
        for item in queue.take(next(queue.most_urgent_first()), batch):
            name = item.request.principal.name
            served[name] += item.rows
            push(names.index(name), 1000.0)
    shares = [served[name] / weight for name, weight in zip(names, weights, strict=True)]
    # Of two, one is ahead by no more than a request of each.
    assert max(shares) - min(shares) <= 2 * max(rows)


def test_what_goes_before_a_request_is_what_it_would_wait_for(loop: asyncio.AbstractEventLoop) -> None:
    queue = RequestQueue()
    heavy, light = (InferRequest("m", {}, principal=Principal(name)) for name in ("heavy", "light"))
    for time_s in range(100):
        queue.push(Item(heavy, 1, (), (), time_s, loop.create_future()))
    assert queue.share_ahead("heavy", 1) == 1
    assert queue.share_ahead("light", 4) == 0.04
    queue.push(Item(light, 10, (), (), 100, loop.create_future()))
    assert queue.share_ahead("light", 10) == 30 / 110
    assert queue.share_ahead("heavy", 1) == 1


def test_tenants_that_ask_for_nothing_are_forgotten_beyond_a_bound() -> None:
    tenants = Tenants(EQUAL)
    for number in range(3 * REMEMBERED):
        tenant = tenants.enter(str(number), 0.0)
        tenants.leave(tenant)
    assert sum(tenants.find(str(number)) is not None for number in range(3 * REMEMBERED)) == 0
    assert len(tenants) <= REMEMBERED + 1
