"""Reloads under traffic: failed requests, and the memory, descriptors and threads of the server.

    python -m benchmarks.reload [--short] [--reloads N]

A model is published again and again, each time with new bytes that make it answer with another number, while
connections of both protocols ask it without a pause. Exits 1 when a request failed or an answer came from no
version that was there, when descriptors or threads grew from the first reloads to the last, or (not in the
short form) when resident memory after the last reload is over 102 % of that after reload 100.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import grpc
import grpc.aio
import numpy as np

from benchmarks import models
from benchmarks.harness import Resources, Running, scratch, server
from benchmarks.payloads import payload
from benchmarks.table import show
from onnxd_protos.grpc_service_pb2 import ModelInferResponse

CONNECTIONS: Final = 16
MEMORY_FROM: Final = 100
MEMORY_LIMIT: Final = 1.02
_EACH: Final = 20
_RELOAD_LIMIT_S: Final = 30.0
_SETTLED_S: Final = 2.0
"""After the traffic, for retired versions to be closed."""
_SLACK: Final = 2
"""Threads of a pool that starts them when it first needs them."""

Ask = Callable[[], Awaitable[float]]


@dataclass(slots=True)
class Traffic:
    """What the connections saw, and what they may see."""

    oldest: int = 0
    """The newest version that has been seen: requests sent from now on must not get an older one."""
    newest: int = 0
    """The last one published."""
    answered: int = 0
    stopping: bool = False
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when `oldest` has changed."""
    failures: Counter[str] = field(default_factory=Counter)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="60 reloads, counts only")
    parser.add_argument("--reloads", type=int)
    options = parser.parse_args()
    reloads: int = options.reloads or (60 if options.short else 300)
    traffic = Traffic()
    start_s = time.monotonic()
    looks = asyncio.run(measure(reloads, traffic))
    seconds = time.monotonic() - start_s
    rows = [
        [name, f"{each.resident_bytes / 2**20:.1f}", str(each.descriptors), str(each.threads)]
        for name, each in looks.items()
    ]
    show("the server", ["after reload", "resident MiB", "descriptors", "threads"], rows)
    print(
        f"{reloads} reloads in {seconds:.0f} s, {traffic.answered} requests over {CONNECTIONS} connections, "
        f"{traffic.failures.total()} failed"
    )
    misses = judge(looks, traffic, memory=not options.short)
    for miss in misses:
        print("MISS:", miss)
    return 1 if misses else 0


async def measure(reloads: int, traffic: Traffic) -> dict[str, Resources]:
    """The server's resources after reloads, by their number, and at rest at the end."""
    with scratch() as directory:
        repository = directory / "models"
        models.publish(repository, "model", models.row_constant(0), models.BATCHED)
        state = directory / "state"
        # Files are renamed into place here, so nothing has to settle.
        with server(repository, state, ONNXD_WATCH_SETTLE="20ms") as running:
            async with AsyncExitStack() as resources:
                clients = [await _client(running, at, resources) for at in range(CONNECTIONS)]
                async with asyncio.TaskGroup() as tasks:
                    for client in clients:
                        tasks.create_task(_repeat(client, traffic))
                    looks = await _reload(running, repository, reloads, traffic)
                    traffic.stopping = True
            await asyncio.sleep(_SETTLED_S)
            return looks | {"the last, at rest": running.resources()}


async def _reload(running: Running, repository: Path, reloads: int, traffic: Traffic) -> dict[str, Resources]:
    looks: dict[str, Resources] = {}
    for number in range(1, reloads + 1):
        traffic.newest = number
        models.publish(repository, "model", models.row_constant(number))
        async with asyncio.timeout(_RELOAD_LIMIT_S):
            while traffic.oldest < number:
                traffic.moved.clear()
                await traffic.moved.wait()
        if number % _EACH == 0 or number == reloads:
            looks[str(number)] = running.resources()
    return looks


async def _repeat(ask: Ask, traffic: Traffic) -> None:
    while not traffic.stopping:
        oldest = traffic.oldest
        try:
            number = await ask()
        except grpc.aio.AioRpcError as error:
            traffic.failures[f"{error.code().name} {error.details()}"[:200]] += 1
            await asyncio.sleep(0.01)
            continue
        except Exception as error:  # every kind of failure is what is counted
            traffic.failures[f"{type(error).__name__}: {error}"[:200]] += 1
            await asyncio.sleep(0.01)
            continue
        traffic.answered += 1
        if not oldest <= number <= traffic.newest:
            traffic.failures["an answer of a version that was not there"] += 1
        if number > traffic.oldest:
            traffic.oldest = int(number)
            traffic.moved.set()


async def _client(running: Running, at: int, resources: AsyncExitStack) -> Ask:
    """Half of them HTTP, half gRPC, each with a connection of its own."""
    if at % 2:
        asked = payload("grpc", "model", 4)
        options = [("grpc.use_local_subchannel_pool", 1)]
        target = f"127.0.0.1:{running.grpc_port}"
        channel = await resources.enter_async_context(grpc.aio.insecure_channel(target, options))
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(asked.path)

        async def ask_grpc() -> float:
            answer = ModelInferResponse.FromString(await call(asked.body[5:], timeout=10))
            return _number(answer.raw_output_contents[0])

        return ask_grpc
    asked = payload("http binary", "model", 4)
    session = await resources.enter_async_context(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1), timeout=aiohttp.ClientTimeout(total=10)
        )
    )
    url = f"http://127.0.0.1:{running.http_port}{asked.path}"

    async def ask_http() -> float:
        async with session.post(url, data=asked.body, headers=dict(asked.headers)) as response:
            body = await response.read()
            if response.status != 200:
                raise RuntimeError(f"{response.status} {body.decode(errors='replace')}")
            return _number(body[-16:])

    return ask_http


def _number(row: bytes) -> float:
    """The version that answered, which all four values give."""
    values = np.frombuffer(row, np.float32)
    if len(set(values.tolist())) != 1:
        raise RuntimeError(f"an answer of several versions: {values}")
    return float(values[0])


def judge(looks: dict[str, Resources], traffic: Traffic, *, memory: bool) -> list[str]:
    """What must hold, as sentences where it does not."""
    misses = [f"{count} x {failure}" for failure, count in traffic.failures.items()]
    numbered = {int(name): each for name, each in looks.items() if name.isdigit()}
    order = sorted(numbered)
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    for what in ("descriptors", "threads"):
        # The least of several looks: one may meet a load in progress.
        early, late = (min(getattr(numbered[number], what) for number in half) for half in halves)
        if late > early + _SLACK:
            misses.append(f"{what} grew from {early} in the first half to {late} in the second")
    if memory and MEMORY_FROM in numbered and max(numbered) > MEMORY_FROM:
        ratio = numbered[max(numbered)].resident_bytes / numbered[MEMORY_FROM].resident_bytes
        print(f"memory after reload {max(numbered)}: {100 * ratio:.1f} % of that after {MEMORY_FROM}")
        if ratio > MEMORY_LIMIT:
            misses.append(f"memory grew to {100 * ratio:.1f} %, over {100 * MEMORY_LIMIT:.0f} %")
    return misses


if __name__ == "__main__":
    sys.exit(main())
