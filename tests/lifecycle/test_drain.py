"""SIGTERM under load, and said twice (S11, in short form)."""

import asyncio
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import grpc
import numpy as np
import pytest

from tests.support.graphs import add_one
from tests.support.grpc_server import grpc_calls, infer_request
from tests.support.processes import children_of, ended
from tests.support.server import ServerProcess, publish, server_process
from tests.support.until import until

RUNS: Final = 5
CLIENTS: Final = 8
BEFORE: Final = 200
"""Requests that are answered before the signal."""
BODY: Final = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
ROW: Final = np.array([[1, 2, 3, 4]], np.float32)


@dataclass(slots=True)
class Load:
    """Clients that ask without a pause until they cannot. A request counts as accepted when it was sent
    before the signal: what comes later may be refused."""

    server: ServerProcess
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    signalled: bool = False

    async def by_http(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                accepted = not self.signalled
                try:
                    async with session.post(f"{self.server.http}/v2/models/m/infer", json=BODY) as answer:
                        outcome = str(answer.status)
                        await answer.read()
                except aiohttp.ClientError as error:
                    outcome = repr(error)
                if not self._note(outcome, "200", accepted=accepted):
                    return

    async def by_grpc(self) -> None:
        async with grpc_calls(self.server.grpc) as calls:
            while True:
                accepted = not self.signalled
                try:
                    await calls.ask("ModelInfer", infer_request("m", {"x": ROW}))
                    outcome = "OK"
                except grpc.aio.AioRpcError as error:
                    outcome = f"{error.code().name}: {error.details()}"
                if not self._note(outcome, "OK", accepted=accepted):
                    return

    def _note(self, outcome: str, good: str, *, accepted: bool) -> bool:
        if outcome == good:
            self.answered += 1
            return True
        if accepted:
            self.failed.append(outcome)
        return False


def is_free(address: str) -> bool:
    """Whether a server could listen there now."""
    host, _, port = address.rpartition(":")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, int(port)))
        except OSError:
            return False
    return True


async def one_run(tmp_path: Path) -> Load:
    """A server under load from its start to its end."""
    with server_process(tmp_path / "models", tmp_path / "state", "--drain-linger", "200ms") as server:
        children = children_of(server.process.pid)
        load = Load(server)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CLIENTS):
                tasks.create_task(load.by_http())
                tasks.create_task(load.by_grpc())
            await until(lambda: load.answered >= BEFORE)
            load.signalled = True
            server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.process.wait, 40) == 0
        assert is_free(urlsplit(server.http).netloc)
        assert is_free(server.grpc)
        assert all(ended(pid) for pid in children)
    return load


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_S11_sigterm_under_load_fails_nothing_that_was_accepted(tmp_path: Path) -> None:
    publish(tmp_path / "models", "m", 1, add_one(), "max_batch_size: 8\n")
    for _ in range(RUNS):
        load = await one_run(tmp_path)
        assert load.failed == []
        assert load.answered >= BEFORE


async def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    """In the middle of a drain of minutes, with the signal's own exit code, and no child left behind."""
    publish(tmp_path / "models", "m", 1, add_one(), "max_batch_size: 8\n")
    with server_process(tmp_path / "models", tmp_path / "state", "--drain-linger", "10m") as server:
        children = children_of(server.process.pid)
        async with aiohttp.ClientSession() as session:

            async def is_draining() -> bool:
                async with session.get(f"{server.http}/v2/health/ready") as answer:
                    return answer.status == 503

            server.process.send_signal(signal.SIGTERM)
            await until(is_draining)
            server.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.process.wait, 30) == -signal.SIGTERM
        assert children
        assert all(ended(pid) for pid in children)
