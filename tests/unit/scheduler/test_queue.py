"""The order in which requests leave the queue, and its counters."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.messages import InferRequest
from onnxd.scheduler.item import Item, rank_of
from onnxd.scheduler.queue import RequestQueue, Waiting, oldest_s


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def item(
    loop: asyncio.AbstractEventLoop,
    arrived_s: float,
    *,
    level: int = 1,
    shape: str = "",
    rows: int = 1,
    byte_size: int = 0,
) -> Item:
    request = InferRequest("m", {"x": np.zeros(1, np.float32)}, byte_size=byte_size)
    return Item(request, rows, (), (shape,), arrived_s, loop.create_future(), rank_of(level))


def drained(queue: RequestQueue) -> list[Item]:
    """One by one from the most urgent bucket."""
    items: list[Item] = []
    while queue.requests:
        items += queue.take(next(queue.most_urgent_first()), 1)
    return items


def test_a_higher_level_goes_before_what_came_earlier(loop: asyncio.AbstractEventLoop) -> None:
    queue = RequestQueue()
    items = [item(loop, arrived_s, level=level) for arrived_s, level in ((0, 2), (1, 2), (2, 1), (3, 2))]
    for each in items:
        queue.push(each)
    assert [each.arrived_s for each in drained(queue)] == [2, 0, 1, 3]


def test_a_delayed_request_goes_behind_its_level_and_before_lower_ones(
    loop: asyncio.AbstractEventLoop,
) -> None:
    queue = RequestQueue()
    late, fresh, low = item(loop, 0, level=1), item(loop, 1, level=1), item(loop, 2, level=2)
    for each in (late, fresh, low):
        queue.push(each)
    queue.delay(late)
    assert drained(queue) == [fresh, late, low]


def test_the_bucket_of_the_most_urgent_request_goes_first(loop: asyncio.AbstractEventLoop) -> None:
    queue = RequestQueue()
    for each in (item(loop, 0, level=2, shape="a"), item(loop, 1, level=1, shape="b")):
        queue.push(each)
    assert [bucket[0].bucket for bucket in queue.most_urgent_first()] == [("b",), ("a",)]


def test_the_oldest_of_a_bucket_is_found_behind_higher_levels_and_among_the_delayed(
    loop: asyncio.AbstractEventLoop,
) -> None:
    queue = RequestQueue()
    old, new = item(loop, 0, level=1), item(loop, 5, level=1)
    for each in (old, new):
        queue.push(each)
    assert oldest_s(next(queue.most_urgent_first())) == 0
    queue.delay(old)
    assert oldest_s(next(queue.most_urgent_first())) == 0
    queue.push(item(loop, 7, level=2))
    assert oldest_s(next(queue.most_urgent_first())) == 0


def test_what_waits_is_told_by_bucket_and_level(loop: asyncio.AbstractEventLoop) -> None:
    queue = RequestQueue()
    late = item(loop, 0, level=1, shape="a", rows=2, byte_size=10)
    for each in (
        late,
        item(loop, 1, level=2, shape="a", rows=3),
        item(loop, 2, level=2, shape="a"),
        item(loop, 3, level=1, shape="b"),
    ):
        queue.push(each)
    queue.delay(late)
    assert queue.waiting() == (
        Waiting(("b",), 1, False, 1, 1, 0, 3),
        Waiting(("a",), 1, True, 1, 2, 10, 0),
        Waiting(("a",), 2, False, 2, 4, 0, 1),
    )


@given(
    arrivals=st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from("ab"), st.integers(1, 4), st.integers(0, 9)), max_size=25
    ),
    steps=st.lists(st.tuples(st.sampled_from(["discard", "delay", "take"]), st.integers(0, 24)), max_size=25),
)
def test_whatever_happens_the_order_and_the_counters_are_right(
    arrivals: list[tuple[int, str, int, int]], steps: list[tuple[str, int]]
) -> None:
    loop = asyncio.new_event_loop()
    queue = RequestQueue()
    items = [
        item(loop, arrived_s, level=level, shape=shape, rows=rows, byte_size=size)
        for arrived_s, (level, shape, rows, size) in enumerate(arrivals)
    ]
    for each in items:
        queue.push(each)
    for step, place in steps:
        if step == "take" and queue.requests:
            bucket = next(queue.most_urgent_first())
            queue.take(bucket, 1 + place % len(bucket))
        elif place < len(items) and items[place].queued:
            if step == "discard":
                assert queue.discard(items[place])
                assert not queue.discard(items[place])
            elif step == "delay" and items[place].rank == rank_of(items[place].level):
                queue.delay(items[place])
    left = [each for each in items if each.queued]
    assert queue.requests == len(left)
    assert queue.rows == sum(each.rows for each in left)
    assert queue.bytes == sum(each.request.byte_size for each in left)
    for level in (1, 2, 3):
        assert queue.requests_of[level] == sum(each.level == level for each in left)
    waiting = queue.waiting()
    assert sum(group.requests for group in waiting) == len(left)
    for bucket in queue.buckets.values():
        assert [each.rank for each in bucket] == sorted(each.rank for each in bucket)
    assert {id(each) for each in queue.take_all()} == {id(each) for each in left}
    assert (queue.requests, queue.rows, queue.bytes, len(queue.buckets)) == (0, 0, 0, 0)
    loop.close()
