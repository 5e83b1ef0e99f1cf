"""Deadlines of many requests under one timer."""

import asyncio

import numpy as np

from onnxd.messages import InferRequest
from onnxd.scheduler.deadlines import Deadlines
from onnxd.scheduler.item import Item
from tests.support.virtual_time import VirtualClock


class Expiries:
    """Items that have expired, and what watches them."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.expired: list[Item] = []
        self.deadlines = Deadlines(self.clock, self.expired.append)

    async def item(self, in_s: float) -> Item:
        """A watched item, due in so many seconds."""
        request = InferRequest("model", {"x": np.zeros(1, np.float32)})
        now_s = self.clock.now_s()
        future = asyncio.get_running_loop().create_future()
        item = Item(request, rows=1, outputs=(), bucket=(), arrived_s=now_s, future=future)
        self.deadlines.watch(item, now_s + in_s)
        return item


async def test_each_item_expires_in_its_own_time_whatever_the_order_of_arrival() -> None:
    seen = Expiries()
    late, early, middle = [await seen.item(seconds) for seconds in (3, 1, 2)]
    seen.clock.advance(1)
    assert seen.expired == [early]
    seen.clock.advance(1)
    assert seen.expired == [early, middle]
    seen.clock.advance(1)
    assert seen.expired == [early, middle, late]


async def test_an_item_that_has_ended_does_not_expire() -> None:
    seen = Expiries()
    ended, waiting = [await seen.item(seconds) for seconds in (1, 2)]
    seen.deadlines.forget(ended)
    seen.deadlines.forget(ended)
    seen.clock.advance(5)
    assert seen.expired == [waiting]


async def test_an_item_may_be_watched_anew_when_it_expires() -> None:
    seen = Expiries()
    item = await seen.item(1)
    seen.clock.advance(1)
    seen.deadlines.watch(item, seen.clock.now_s() + 1)
    seen.clock.advance(0.5)
    assert seen.expired == [item]
    seen.clock.advance(0.5)
    assert seen.expired == [item, item]


async def test_nothing_expires_after_closing() -> None:
    seen = Expiries()
    await seen.item(1)
    seen.deadlines.close()
    seen.clock.advance(5)
    assert seen.expired == []
