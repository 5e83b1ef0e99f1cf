"""Callers of a model on a host of their own, as a program, and what they tell of it.

Each sends its next request when it has its answer, through our client: over HTTP and over gRPC, and over each
with retries and without. Moments are of the machine's one monotonic clock.
"""

import asyncio
import contextlib
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from onnxd_client.async_client import AsyncClient
from onnxd_client.errors import ServerError
from onnxd_client.retry import RetryPolicy
from tests.support.hosts import Host, without_proxies

KINDS: Final = ("HTTP", "HTTP with retries", "gRPC", "gRPC with retries")
OF_A_KIND: Final = 2
DEADLINE_S: Final = 20.0
_ROW: Final = np.array([[1, 2, 3, 4]], np.float32)
_LONGEST_LINE: Final = 2**20


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that was not answered as it should have been."""

    kind: str
    started: float
    ended: float
    error: str

    @property
    def retried(self) -> bool:
        return self.kind.endswith("with retries")


@dataclass(frozen=True, slots=True)
class Told:
    """Everything so far."""

    answered: dict[str, int]
    failed: list[Failure]


@dataclass(frozen=True, slots=True)
class Callers:
    """Those that are calling, in another process."""

    process: Process

    async def tell(self) -> Told:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"tell\n")
        told = json.loads(await self.process.stdout.readline())
        return Told(told["answered"], [Failure(**each) for each in told["failed"]])

    async def answered_by_all(self, more: int = 5) -> bool:
        """Whether callers of every kind have had so many answers each."""
        answered = (await self.tell()).answered
        return all(answered.get(kind, 0) >= more for kind in KINDS)


@contextlib.asynccontextmanager
async def callers(host: Host, http: str, grpc: str, model: str) -> AsyncIterator[Callers]:
    """They call while this is open. The model is add_one of graphs.py."""
    process = await asyncio.create_subprocess_exec(
        *host.command([sys.executable, "-m", "tests.support.callers", http, grpc, model]),
        stdin=PIPE,
        stdout=PIPE,
        limit=_LONGEST_LINE,
        env=without_proxies(),
    )
    try:
        yield Callers(process)
    finally:
        process.kill()
        await process.communicate()


async def _call(
    client: AsyncClient, model: str, kind: str, answered: Counter[str], failed: list[Failure]
) -> None:
    while True:
        started = time.monotonic()
        try:
            answer = (await client.infer(model, {"x": _ROW}))["y"]
        except ServerError as error:
            problem = f"{type(error).__name__} ({error.status}): {error.message}"
        else:
            problem = "" if np.array_equal(answer, _ROW + 1) else f"a wrong answer: {answer}"
        if problem:
            failed.append(Failure(kind, started, time.monotonic(), problem))
        else:
            answered[kind] += 1


async def _main(http: str, grpc: str, model: str) -> None:
    answered: Counter[str] = Counter()
    failed: list[Failure] = []
    async with AsyncExitStack() as clients, asyncio.TaskGroup() as calls:
        for kind in KINDS:
            url = http if kind.startswith("HTTP") else grpc
            policy = RetryPolicy() if kind.endswith("with retries") else RetryPolicy(max_tries=1)
            client = await clients.enter_async_context(AsyncClient(url, deadline=DEADLINE_S, retry=policy))
            for _ in range(OF_A_KIND):
                calls.create_task(_call(client, model, kind, answered, failed))
        while await asyncio.to_thread(sys.stdin.readline):
            told: dict[str, Any] = {"answered": answered, "failed": [asdict(each) for each in failed]}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
