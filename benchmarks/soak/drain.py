"""S11: SIGTERM at full load, again and again: nothing that was accepted fails, and nothing is left behind."""

import asyncio
import signal
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import grpc
import grpc.aio

from benchmarks import models
from benchmarks.harness import Running, server
from benchmarks.payloads import payload
from benchmarks.soak.verdict import Verdict

CLIENTS: Final = 8
"""Over each protocol."""
BEFORE: Final = 500
"""Requests that are answered before the signal."""
GRACE_S: Final = 30.0
BEYOND_S: Final = 5.0


@dataclass(slots=True)
class Load:
    """Clients that ask without a pause until they cannot. A request is accepted when it was sent before the
    signal."""

    running: Running
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    full: asyncio.Event = field(default_factory=asyncio.Event)
    signalled: bool = False

    def note(self, outcome: str, good: str, *, accepted: bool) -> bool:
        """What became of one; whether to go on."""
        if outcome == good:
            self.answered += 1
            if self.answered >= BEFORE:
                self.full.set()
            return True
        if accepted:
            self.failed.append(outcome)
            self.full.set()
        return False


async def run(directory: Path, runs: int, seconds: float) -> Verdict:
    """So many servers, one after the other, for so long at most."""
    verdict = Verdict(f"drain: SIGTERM at full load, {runs} times")
    models.publish(directory / "models", "m", models.identity(), models.BATCHED)
    end_s = time.monotonic() + seconds
    answered = done = 0
    took_s: list[float] = []
    while done < runs and time.monotonic() < end_s:
        answered += await _one(directory, verdict, took_s)
        done += 1
    verdict.show("runs", done)
    verdict.show("answered", answered)
    verdict.show("from the signal to the end, at most: s", f"{max(took_s, default=0.0):.2f}")
    verdict.expect(done > 0, "none ran")
    return verdict


async def _one(directory: Path, verdict: Verdict, took_s: list[float]) -> int:
    flags = ("--drain-linger", "200ms", "--drain-grace", f"{GRACE_S:g}s", "--log-level", "error")
    with server(directory / "models", directory / "state", *flags) as running:
        children = _children(running.pid)
        load = Load(running)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CLIENTS):
                tasks.create_task(_by_http(load))
                tasks.create_task(_by_grpc(load))
            async with asyncio.timeout(60):
                await load.full.wait()
            load.signalled = True
            start_s = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(running.process.wait, GRACE_S + BEYOND_S)
        took_s.append(time.monotonic() - start_s)
        verdict.expect(not load.failed, f"accepted and failed: {load.failed[:3]}")
        verdict.expect(code == 0, f"exit code {code}")
        for port in (running.http_port, running.grpc_port):
            verdict.expect(_is_free(port), f"port {port} is not free")
        orphans = [pid for pid in children if not _gone(pid)]
        verdict.expect(not orphans, f"processes are left: {orphans}")
    drafts = [path.name for path in (directory / "state").rglob("*.tmp")]
    verdict.expect(not drafts, f"files are left: {drafts}")
    return load.answered


async def _by_http(load: Load) -> None:
    asked = payload("http binary", "m", 4)
    url = f"http://127.0.0.1:{load.running.http_port}{asked.path}"
    async with aiohttp.ClientSession() as session:
        while True:
            accepted = not load.signalled
            try:
                async with session.post(url, data=asked.body, headers=asked.headers) as answer:
                    await answer.read()
                    outcome = str(answer.status)
            except aiohttp.ClientError as error:
                outcome = repr(error)[:200]
            if not load.note(outcome, "200", accepted=accepted):
                return


async def _by_grpc(load: Load) -> None:
    asked = payload("grpc", "m", 4)
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{load.running.grpc_port}", options) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(asked.path)
        while True:
            accepted = not load.signalled
            try:
                await call(asked.body[5:], timeout=30)
                outcome = "OK"
            except grpc.aio.AioRpcError as error:
                outcome = f"{error.code().name} {error.details()}"[:200]
            if not load.note(outcome, "OK", accepted=accepted):
                return


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _gone(pid: int) -> bool:
    """Within a second."""
    end_s = time.monotonic() + 1
    while time.monotonic() < end_s:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False
