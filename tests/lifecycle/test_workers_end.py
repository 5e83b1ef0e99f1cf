"""How a server of several workers ends: drained, with its supervisor, or because workers keep dying."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.support.graphs import add_one
from tests.support.processes import ended
from tests.support.server import ServerProcess, publish, server_process
from tests.support.until import until
from tests.support.workers import connections, workers_of

BODY: Final = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    publish(tmp_path / "models", "plus", 1, add_one(), "max_batch_size: 8\n")
    with server_process(tmp_path / "models", tmp_path / "state", "--workers", "2") as started:
        yield started


async def test_sigterm_drains_every_worker(server: ServerProcess) -> None:
    """Nothing that was sent before the signal fails, and the exit code is 0."""
    pids = workers_of(server)
    failed: list[str] = []
    signalled = False
    answered = 0

    async def ask(session: aiohttp.ClientSession) -> None:
        nonlocal answered
        while True:
            accepted = not signalled
            try:
                async with session.post(f"{server.http}/v2/models/plus/infer", json=BODY) as answer:
                    text = "" if answer.status == 200 else await answer.text()
            except aiohttp.ClientError as error:
                text = repr(error)
            if text:
                failed.extend([text] * accepted)
                return
            answered += 1

    async with connections(server, count=8) as clients, asyncio.TaskGroup() as tasks:
        for session in clients.sessions:
            tasks.create_task(ask(session))
        await until(lambda: answered > 100)
        signalled = True
        server.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(server.process.wait, 60)
    assert code == 0
    assert not failed
    assert all(ended(pid) for pid in pids.values())


async def test_workers_end_with_a_supervisor_that_is_killed(server: ServerProcess) -> None:
    pids = workers_of(server)
    assert len(pids) == 2
    server.process.kill()
    assert await asyncio.to_thread(lambda: all(ended(pid) for pid in pids.values()))


async def test_five_deaths_in_a_minute_end_the_server_with_the_reason(server: ServerProcess) -> None:
    killed: set[int] = set()

    def alive() -> int | None:
        """The first worker, which may still be listed for a moment after its death."""
        pid = workers_of(server).get(1)
        return None if pid in killed else pid

    for _ in range(5):
        await until(lambda: alive() is not None or server.process.poll() is not None)
        victim = alive()
        if victim is not None:
            killed.add(victim)
            os.kill(victim, signal.SIGSEGV)
    assert await asyncio.to_thread(server.process.wait, 60) == 1
    assert server.process.stderr is not None
    assert "5 workers have died within 60 s" in server.process.stderr.read()
