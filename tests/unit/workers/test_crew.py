"""Workers are told the same: a newcomer catches up, what fails in one is told, who is silent is ended."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from onnxd.errors import AlreadyExists, LoadFailed, ServerError
from onnxd.workers.channel import Answer, Channel, Document, Gone
from onnxd.workers.crew import Crew, Member
from onnxd.workers.orders import ModelOrder, Prepare
from onnxd.workers.standing import LOG, REGISTER
from tests.support.until import until


@dataclass
class Told:
    """A worker that writes down what it is told, and fails or says nothing where the test wants it to."""

    number: int
    heard: list[tuple[str, Any]] = field(default_factory=list)
    failing: dict[str, ServerError] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    ends: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, what: str, document: Document) -> Answer:
        self.heard.append((what, document))
        if what in self.failing:
            raise self.failing[what]
        return self._never() if what in self.silent else {}

    def end(self, kind: str, text: str) -> None:
        self.ends.append((kind, text))

    @staticmethod
    async def _never() -> Document:
        await asyncio.Event().wait()
        return {}

    def names(self) -> list[str]:
        return [what for what, _ in self.heard]


@asynccontextmanager
async def joined(crew: Crew, *workers: Told) -> AsyncIterator[None]:
    """These have been admitted."""
    async with AsyncExitStack() as resources, asyncio.TaskGroup() as tasks:
        serving = []
        for worker in workers:
            ours, theirs = socket.socketpair()
            there = await resources.enter_async_context(Channel(theirs, worker.answer))
            here = await resources.enter_async_context(Channel(ours, lambda *_: None))
            serving += [tasks.create_task(here.serve()), tasks.create_task(there.serve())]
            await crew.admit(Member(worker.number, here, worker.end))
        yield
        for each in serving:
            each.cancel()


def version(load: int) -> Prepare:
    return Prepare(load, "m", 1, "a:b", "a", "a", "b", None, 1, {})


async def test_a_newcomer_is_told_in_order_what_the_others_know() -> None:
    crew, first, second = Crew(2), Told(0), Told(1)
    crew.opened = True
    async with joined(crew, first):
        await crew.prepare(version(1))
        crew.set_model(ModelOrder("m", {1: 1}, {1: ("READY", "")}))
        await crew.change(LOG, {"change": {"info": False}})
        assert not crew.whole
        async with joined(crew, second):
            await crew.settled()
            assert _whole(crew)
            assert second.names()[:4] == ["prepare", "model", LOG, "listen"]
            assert ("whole", {"whole": True, "awaited": ""}) in first.heard
            assert ("uncover", {"worker": 1}) in first.heard


async def test_a_version_that_one_cannot_build_is_built_by_nobody() -> None:
    crew, good, bad = Crew(2), Told(0), Told(1, failing={"prepare": LoadFailed("no memory")})
    async with joined(crew, good, bad):
        with pytest.raises(LoadFailed, match="no memory"):
            await crew.prepare(version(1))
        await crew.discard(1)
        assert "discard" in good.names()
        assert "discard" in bad.names()
        late = Told(2)
        async with joined(crew, late):
            assert "prepare" not in late.names()


@pytest.mark.parametrize("fatal", [False, True], ids=["by chance", "by the model"])
async def test_a_worker_that_ends_while_it_builds_is_waited_for_once(fatal: bool) -> None:
    """Its end may have nothing to do with the model; that of its successor has."""
    crew, good, dying = Crew(2), Told(0), Told(1, silent={"prepare"})
    successor = Told(1, silent={"prepare"} if fatal else set())
    async with joined(crew, good), asyncio.TaskGroup() as tasks:
        async with joined(crew, dying):
            member = crew.members[1]
            preparing = tasks.create_task(_outcome(crew.prepare(version(1))))
            await until(lambda: "prepare" in dying.names())
        await crew.leave(member)
        if fatal:
            joining = joined(crew, successor)
            entering = tasks.create_task(_quietly(joining.__aenter__()))
            await until(lambda: "prepare" in successor.names())
            await crew.leave(crew.members[1])
            assert "its successor" in await preparing
            entering.cancel()
        else:
            async with joined(crew, successor):
                assert await preparing == ""
                assert successor.names()[0] == "prepare"


async def test_a_region_that_one_cannot_open_is_open_in_none() -> None:
    crew, good, bad = Crew(2), Told(0), Told(1, failing={REGISTER: AlreadyExists("here")})
    region = {"principal": "p", "name": "r", "wanted": ["/k", 0, 8], "local": True}
    async with joined(crew, good, bad):
        with pytest.raises(AlreadyExists):
            await crew.change(REGISTER, region)
        assert good.names()[-1] == "unregister"
        late = Told(2)
        async with joined(crew, late):
            assert REGISTER not in late.names()


async def test_who_cannot_follow_or_says_nothing_is_ended() -> None:
    crew = Crew(3, follow_s=0.0)
    good = Told(0)
    failing, silent = Told(1, failing={"model": LoadFailed("lost")}), Told(2, silent={"model"})
    async with joined(crew, good, failing, silent):
        crew.set_model(ModelOrder("m", {}, {}))
        await until(lambda: bool(failing.ends))
        await crew.settled()
        assert failing.ends[0][0] == "other"
        assert "lost" in failing.ends[0][1]
        assert silent.ends[0][0] == "silent"
        assert not good.ends


async def test_at_the_start_a_model_waits_for_all_workers() -> None:
    crew, first, second = Crew(2), Told(0), Told(1)
    async with joined(crew, first), asyncio.TaskGroup() as tasks:
        preparing = tasks.create_task(crew.prepare(version(1)))
        await asyncio.sleep(0)
        assert not preparing.done()
        async with joined(crew, second):
            await preparing
            assert "prepare" in first.names()
            assert "prepare" in second.names()


def _whole(crew: Crew) -> bool:
    return crew.whole


async def _outcome(preparing: Coroutine[Any, Any, None]) -> str:
    try:
        await preparing
    except LoadFailed as failed:
        return failed.message
    return ""


async def _quietly(entering: Any) -> None:
    with contextlib.suppress(asyncio.CancelledError, Gone, BaseExceptionGroup):
        await entering
