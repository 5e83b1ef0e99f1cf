"""Answers that go together."""

import asyncio

from onnxd.http_frontend.lane.burst import Burst
from onnxd.messages import Execution, Origin


class Holder:
    def __init__(self, name: str, written: list[str]) -> None:
        self._name = name
        self._written = written

    def flush(self) -> None:
        self._written.append(self._name)


def run_of(requests: int) -> Execution:
    return Execution(Origin("m"), rows=requests, requests=requests, cut="idle")


async def test_the_answers_of_a_run_go_with_the_last_of_them_in_order() -> None:
    written: list[str] = []
    burst, run = Burst(asyncio.get_running_loop()), run_of(3)
    for name in "ab":
        burst.hold(Holder(name, written), run)
    assert written == []
    burst.hold(Holder("c", written), run)
    assert written == ["a", "b", "c"]


async def test_answers_of_a_run_that_is_not_complete_go_in_the_next_turn() -> None:
    written: list[str] = []
    burst = Burst(asyncio.get_running_loop())
    burst.hold(Holder("a", written), run_of(2))
    burst.hold(Holder("b", written), None)
    assert written == []
    await asyncio.sleep(0)
    assert written == ["a", "b"]


async def test_what_is_held_goes_before_an_answer_that_is_not() -> None:
    written: list[str] = []
    burst = Burst(asyncio.get_running_loop())
    burst.hold(Holder("a", written), None)
    burst.write()
    assert written == ["a"]
    await asyncio.sleep(0)
    assert written == ["a"]


async def test_each_turn_and_each_run_has_its_own_burst() -> None:
    written: list[str] = []
    burst = Burst(asyncio.get_running_loop())
    for name, run in (("a", run_of(2)), ("b", run_of(2))):
        burst.hold(Holder(name, written), run)
        await asyncio.sleep(0)
        burst.hold(Holder(name.upper(), written), run)
        await asyncio.sleep(0)
    assert written == ["a", "A", "b", "B"]
