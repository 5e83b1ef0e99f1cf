"""Questions between processes: in order, both ways, bounded, and never left without an answer."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from onnxd.errors import InvalidName, LoadFailed, ModelUnavailable, Unavailable
from onnxd.repository.document import FaultyConfig
from onnxd.runtime import framing
from onnxd.workers.channel import Answer, Channel, Document, Gone
from onnxd.workers.relay import FaultElsewhere

SOON_S = 20.0


@asynccontextmanager
async def pair(
    here: Callable[[str, Document], Answer], there: Callable[[str, Document], Answer]
) -> AsyncIterator[tuple[Channel, Channel]]:
    left, right = socket.socketpair()
    async with Channel(left, here) as one, Channel(right, there) as other, asyncio.TaskGroup() as tasks:
        serving = [tasks.create_task(one.serve()), tasks.create_task(other.serve())]
        yield one, other
        for task in serving:
            task.cancel()


def nothing(_: str, __: Document) -> Answer:
    return None


async def test_both_ask_and_both_answer() -> None:
    async with pair(lambda what, _: {"of": what}, lambda _, given: {"twice": given["n"] * 2}) as (one, other):
        assert await one.ask("double", {"n": 4}, within_s=SOON_S) == {"twice": 8}
        assert await other.ask("name", within_s=SOON_S) == {"of": "name"}


async def test_what_is_answered_at_once_is_answered_in_order_whatever_takes_longer() -> None:
    seen: list[str] = []
    late = asyncio.Event()

    def answer(what: str, _: Document) -> Answer:
        seen.append(what)
        return wait() if what == "slow" else {}

    async def wait() -> Document:
        await late.wait()
        return {"late": True}

    async with pair(nothing, answer) as (one, _):
        slow = one.post("slow")
        for each in "abc":
            await one.ask(each, within_s=SOON_S)
        assert seen == ["slow", "a", "b", "c"]
        assert not slow.done()
        late.set()
        assert await slow == {"late": True}


@pytest.mark.parametrize(
    ("raised", "arrives"),
    [
        (ModelUnavailable("loading", retry_after_s=2.5), ModelUnavailable),
        (InvalidName("no such name"), InvalidName),
        (FaultyConfig("two faults", "config.yaml", ()), LoadFailed),
        (ZeroDivisionError("a bug"), FaultElsewhere),
    ],
    ids=lambda each: getattr(each, "__name__", type(each).__name__),
)
async def test_errors_come_back_as_what_they_were(raised: Exception, arrives: type[Exception]) -> None:
    def answer(what: str, _: Document) -> Answer:
        if what == "now":
            raise raised
        return later()

    async def later() -> Document:
        raise raised

    async with pair(nothing, answer) as (one, _):
        for what in ("now", "later"):
            with pytest.raises(arrives) as caught:
                await one.ask(what, within_s=SOON_S)
            assert type(caught.value) is arrives
            assert str(raised) in str(caught.value)
            assert getattr(caught.value, "retry_after_s", None) == getattr(raised, "retry_after_s", None)


async def test_who_waits_for_an_answer_hears_that_the_other_is_gone() -> None:
    never = asyncio.Event()

    async def wait() -> Document:
        await never.wait()
        return {}

    left, right = socket.socketpair()
    async with Channel(left, nothing) as one, asyncio.TaskGroup() as tasks:
        async with Channel(right, lambda *_: wait()) as other:
            serving = tasks.create_task(one.serve())
            answering = tasks.create_task(other.serve())
            asked = one.post("x")
            await asyncio.sleep(0)
            answering.cancel()
        with pytest.raises(Gone):
            await asked
        await serving
        with pytest.raises(Gone):
            await one.ask("y", within_s=SOON_S)


async def test_no_more_than_so_many_questions_wait() -> None:
    left, right = socket.socketpair()
    with right:
        async with Channel(left, nothing) as one:
            waiting = [one.post("x") for _ in range(1024)]
            with pytest.raises(Unavailable, match="too much"):
                await one.post("x")
        assert all(isinstance(each.exception(), Gone) for each in waiting)


async def test_what_is_too_large_for_a_frame_is_refused_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(framing, "MAX_FRAME_BYTES", 1000)
    answers: dict[str, Any] = {"large": {"text": "x" * 2000}, "small": {"text": "y"}}
    async with pair(nothing, lambda what, _: answers[what]) as (one, _):
        with pytest.raises(Unavailable):
            await one.ask("large", within_s=SOON_S)
        assert await one.ask("small", within_s=SOON_S) == answers["small"]
        with pytest.raises(Unavailable):
            await one.ask("small", {"text": "x" * 2000}, within_s=SOON_S)


async def test_an_answer_that_does_not_come_is_a_timeout() -> None:
    left, right = socket.socketpair()
    with right:
        async with Channel(left, nothing) as one:
            with pytest.raises(TimeoutError):
                await one.ask("x", within_s=0.0)


async def test_bytes_that_are_no_frame_end_it() -> None:
    left, right = socket.socketpair()
    with right:
        async with Channel(left, nothing) as one:
            asked = one.post("x")
            right.sendall(b"\xff\xff\xff\xff nonsense")
            await one.serve()
            with pytest.raises(Gone):
                await asked
