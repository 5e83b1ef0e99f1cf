"""Answers that go together."""

import asyncio

from onnxd.http_frontend.lane.burst import Burst


class Holder:
    def __init__(self, name: str, written: list[str]) -> None:
        self._name = name
        self._written = written

    def flush(self) -> None:
        self._written.append(self._name)


async def test_answers_that_are_held_back_are_written_in_order_in_the_next_turn() -> None:
    written: list[str] = []
    burst = Burst(asyncio.get_running_loop())
    for name in "abc":
        burst.hold(Holder(name, written))
    assert written == []
    await asyncio.sleep(0)
    assert written == ["a", "b", "c"]


async def test_each_turn_has_its_own_burst() -> None:
    written: list[str] = []
    burst = Burst(asyncio.get_running_loop())
    for name in "ab":
        burst.hold(Holder(name, written))
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert written == ["a", "b"]
