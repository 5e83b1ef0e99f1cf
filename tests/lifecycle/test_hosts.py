"""Replicas on three hosts behind the balancer of deploy/haproxy: drained, killed and cut off under load.

Callers that retry see none of it; the others see what was in flight where a replica died."""

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from tests.support.balancer import Balancer, Row, balancer
from tests.support.callers import Callers, callers
from tests.support.graphs import add_one
from tests.support.hosts import Host, hosts, needs_hosts
from tests.support.server import publish
from tests.support.until import until

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.slow,
    pytest.mark.timeout(240),
    needs_hosts,
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed"),
]

CLIENT: Final = "10.0.0.2"
BALANCER: Final = "10.0.0.1"
REPLICAS: Final = {"a": "10.0.0.11", "b": "10.0.0.12", "c": "10.0.0.13"}
"""The addresses that deploy/haproxy has."""
HELD: Final = "max_batch_size: 8\nbatching: {max_queue_delay: 100ms, verify: off}\n"
"""Requests spend their time waiting: each replica has some at any moment, and the CPUs have little to do."""


class Replica:
    """A server on a host, which can be started again."""

    def __init__(self, host: Host, folder: Path, models: Path) -> None:
        self.host = host
        self.process: subprocess.Popen[str]
        self._folder = folder
        self._models = models
        self._running = ExitStack()

    def start(self) -> None:
        command = [
            sys.executable, "-m", "onnxd", "serve", "--host", self.host.address,
            "--model-repository", str(self._models), "--state-dir", str(self._folder / "state"),
            "--threads-budget", "1", "--drain-linger", "2s", "--no-model-control-api", "--no-settings-api",
        ]  # fmt: skip
        log = self._running.enter_context((self._folder / "log").open("a"))
        self.process = self._running.enter_context(self.host.running(command, log))

    def end(self) -> None:
        self._running.close()


@dataclass(frozen=True, slots=True)
class Fleet:
    """The replicas, and who stands before them."""

    client: Host
    balancer: Balancer
    replicas: dict[str, Replica]

    async def every(self, holds: Callable[[Row], bool], *names: str) -> None:
        """Wait until it holds for these replicas, or all, with both kinds of requests."""

        async def all_of_them() -> bool:
            shown = [await self.balancer.rows(name) for name in names or self.replicas]
            return all(holds(row) for rows in shown for row in rows)

        await until(all_of_them)

    async def whole(self) -> None:
        """Wait until the balancer sends requests to every replica again."""
        await self.every(lambda row: row.serves)

    async def shared(self) -> None:
        """Wait until each has been sent more requests of both kinds than by now. Under load."""
        before = {name: await self.balancer.rows(name) for name in self.replicas}

        async def more() -> bool:
            now = {name: await self.balancer.rows(name) for name in self.replicas}
            return all(
                later.requests > earlier.requests
                for name in self.replicas
                for earlier, later in zip(before[name], now[name], strict=True)
            )

        await until(more)

    def calling(self) -> contextlib.AbstractAsyncContextManager[Callers]:
        """Callers on the client's host, over the balancer."""
        return callers(self.client, f"http://{BALANCER}:8000", f"grpc://{BALANCER}:8001", "m")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    models = tmp_path_factory.mktemp("models")
    publish(models, "m", 1, add_one(), HELD)
    async with AsyncExitStack() as running:
        found = running.enter_context(hosts(client=CLIENT, balancer=BALANCER, **REPLICAS))
        replicas = {name: Replica(found[name], tmp_path_factory.mktemp(name), models) for name in REPLICAS}
        for replica in replicas.values():
            running.callback(replica.end)
            replica.start()
        before = await running.enter_async_context(
            balancer(found["balancer"], tmp_path_factory.mktemp("balancer"))
        )
        yield Fleet(found["client"], before, replicas)


async def test_a_drain_of_one_after_the_other_fails_no_request(fleet: Fleet) -> None:
    await fleet.whole()
    async with fleet.calling() as load:
        await until(load.answered_by_all)
        for name, replica in fleet.replicas.items():
            await fleet.shared()
            replica.process.terminate()
            assert await asyncio.to_thread(replica.process.wait, 30) == 0
            await fleet.every(lambda row: row.is_down, name)
            replica.start()
            await fleet.whole()
        await fleet.shared()
        told = await load.tell()
    assert told.failed == []


async def test_a_kill_fails_what_was_at_the_replica_and_retries_hide_it(fleet: Fleet) -> None:
    await fleet.whole()
    async with fleet.calling() as load:
        await until(load.answered_by_all)
        await fleet.shared()
        victim = fleet.replicas["b"]
        # Stopped first, so that it is certain to have requests: it keeps what it is sent.
        victim.process.send_signal(signal.SIGSTOP)
        await fleet.every(lambda row: row.requests_now > 0, "b")
        before = time.monotonic()
        victim.process.kill()
        await asyncio.to_thread(victim.process.wait, 30)
        after = time.monotonic()
        await fleet.every(lambda row: row.is_down, "b")
        victim.start()
        await fleet.whole()
        await fleet.shared()
        told = await load.tell()
    for failure in told.failed:
        assert not failure.retried, failure
        assert failure.started <= after, failure
        assert failure.ended >= before, failure


async def test_a_cable_that_is_cut_costs_what_was_sent_until_it_was_noticed_and_retries_hide_it(
    fleet: Fleet,
) -> None:
    await fleet.whole()
    async with fleet.calling() as load:
        await until(load.answered_by_all)
        await fleet.shared()
        cut = fleet.replicas["c"].host
        before = time.monotonic()
        cut.pull_cable()
        await fleet.every(lambda row: row.requests_now > 0, "c")
        await fleet.every(lambda row: row.is_down, "c")
        noticed = time.monotonic()
        await fleet.every(lambda row: row.requests_now == 0, "c")
        cut.plug_in()
        await fleet.whole()
        await fleet.shared()
        told = await load.tell()
    for failure in told.failed:
        assert not failure.retried, failure
        assert failure.started <= noticed, failure
        assert failure.ended >= before, failure
