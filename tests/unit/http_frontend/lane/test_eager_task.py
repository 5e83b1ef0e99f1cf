"""A coroutine that begins on its caller's stack, and is a task in every way that its inside can see."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from onnxd.http_frontend.lane.eager_task import EagerTask


class Ended:
    """What an eager task ended with, once it has."""

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.get_running_loop()
        self.errors: list[BaseException | None] = []
        self._over = loop.create_future()
        self.task = EagerTask(loop, coroutine, self._end)

    def _end(self, error: BaseException | None) -> None:
        self.errors.append(error)
        self._over.set_result(error)

    async def begin(self) -> "Ended":
        """From the loop, as a protocol does, and not inside this test's own task."""
        begun = asyncio.get_running_loop().create_future()

        def step() -> None:
            self.task.step()
            begun.set_result(None)

        asyncio.get_running_loop().call_soon(step)
        await begun
        return self

    async def error(self) -> BaseException | None:
        return await asyncio.shield(self._over)


async def test_what_does_not_wait_is_over_when_it_has_begun() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    ended = await Ended(work()).begin()
    assert done == [1]
    assert ended.errors == [None]


async def test_it_goes_on_with_what_it_waited_for() -> None:
    waits: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    got: list[int] = []

    async def work() -> None:
        got.append(await waits)
        await asyncio.sleep(0)
        got.append(2)

    ended = await Ended(work()).begin()
    assert ended.errors == []
    waits.set_result(1)
    assert await ended.error() is None
    assert got == [1, 2]


async def test_what_it_raises_is_told() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    assert repr(await (await Ended(work()).begin()).error()) == "ValueError('no')"


async def test_it_is_the_current_task_inside() -> None:
    seen: list[object] = []

    async def work() -> None:
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    ended = await Ended(work()).begin()
    await ended.error()
    assert seen == [ended.task, ended.task]


async def test_a_cancelled_one_is_told_where_it_waits() -> None:
    waits: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    told: list[str] = []

    async def work() -> None:
        try:
            await waits
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    ended = await Ended(work()).begin()
    assert ended.task.cancel()
    assert isinstance(await ended.error(), asyncio.CancelledError)
    assert told == ["cancelled"]
    assert waits.cancelled()
    assert not ended.task.cancel()


async def test_one_cancelled_when_its_answer_is_there_is_cancelled_all_the_same() -> None:
    waits: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        await waits

    ended = await Ended(work()).begin()
    waits.set_result(None)
    ended.task.cancel()
    assert isinstance(await ended.error(), asyncio.CancelledError)


async def test_a_timeout_inside_ends_only_its_block() -> None:
    reached: list[str] = []

    async def work() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)
        reached.append("behind it")

    assert await (await Ended(work()).begin()).error() is None
    assert reached == ["behind it"]


async def test_a_task_group_inside_waits_for_its_tasks_and_fails_with_them() -> None:
    done: list[str] = []

    async def child(name: str, *, fails: bool = False) -> None:
        await asyncio.sleep(0)
        if fails:
            raise KeyError(name)
        done.append(name)

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(child("a"))
            tasks.create_task(child("b"))
        done.append("all")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(child("c", fails=True))
            await asyncio.get_running_loop().create_future()

    error = await (await Ended(work()).begin()).error()
    assert isinstance(error, ExceptionGroup)
    assert sorted(done) == ["a", "all", "b"]
