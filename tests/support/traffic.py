"""Steady traffic over both protocols to a model that answers with its own number, and what came of it."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import numpy as np
import tritonclient.grpc.aio as triton

CONNECTIONS: Final = 16
"""Half of them HTTP, half gRPC; each sends its next request when it has its answer."""
_ROWS: Final = np.ones((2, 4), np.float32)


@dataclass(slots=True)
class Outcome:
    """Counts of everything that the connections saw."""

    answered: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    mixed: int = 0
    """Answers whose values are not all of one version."""
    stale: int = 0
    """Answers of a version that had been replaced before the request was sent, or was not published yet."""
    numbers: Counter[int] = field(default_factory=Counter)
    """Answers by the number of the version that gave them."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which versions an answer may come from, at any moment."""

    oldest: Callable[[], int]
    """The newest version that has been seen serving: older ones are gone for requests sent from now on."""
    newest: Callable[[], int]
    """The last one published."""


async def drive(
    http: str,
    grpc: str,
    model: str | Sequence[str],
    window: Window,
    stop: Callable[[Outcome], bool],
    *,
    connections: int = CONNECTIONS,
    pause_s: float = 0.0,
) -> Outcome:
    """Send requests over all connections until `stop` says so. Of several models, each is asked in turn.

    `pause_s`: after each answer, so that the load leaves something to whatever else is tested.
    """
    outcome = Outcome()
    models = itertools.cycle([model] if isinstance(model, str) else model)
    async with AsyncExitStack() as resources, asyncio.TaskGroup() as tasks:
        for _ in range(connections // 2):
            connector = aiohttp.TCPConnector(limit=1)
            session = await resources.enter_async_context(aiohttp.ClientSession(connector=connector))
            tasks.create_task(_repeat(_http(session, http, models), window, outcome, stop, pause_s))
            client = await resources.enter_async_context(
                triton.InferenceServerClient(grpc, channel_args=[("grpc.use_local_subchannel_pool", 1)])
            )
            tasks.create_task(_repeat(_grpc(client, models), window, outcome, stop, pause_s))
    return outcome


async def _repeat(
    ask: Callable[[], Any], window: Window, outcome: Outcome, stop: Callable[[Outcome], bool], pause_s: float
) -> None:
    while not stop(outcome):
        if pause_s:
            await asyncio.sleep(pause_s)
        oldest = window.oldest()
        try:
            values = await ask()
        except Exception as error:  # every kind of failure is what the test counts
            outcome.failures[f"{type(error).__name__}: {error}"[:200]] += 1
            continue
        outcome.answered += 1
        number = int(values.flat[0])
        outcome.numbers[number] += 1
        if not (values == number).all():
            outcome.mixed += 1
        if not oldest <= number <= window.newest():
            outcome.stale += 1


def _http(session: aiohttp.ClientSession, url: str, models: Iterator[str]) -> Callable[[], Any]:
    head = (
        b'{"inputs":[{"name":"x","shape":[2,4],"datatype":"FP32","parameters":{"binary_data_size":32}}],'
        b'"parameters":{"binary_data_output":true}}'
    )
    body = head + _ROWS.tobytes()
    headers = {"Inference-Header-Content-Length": str(len(head))}

    async def ask() -> Any:
        async with session.post(
            f"{url}/v2/models/{next(models)}/infer", data=body, headers=headers
        ) as answer:
            data = await answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} {data.decode()}")
            return np.frombuffer(data[int(answer.headers["Inference-Header-Content-Length"]) :], np.int64)

    return ask


def _grpc(client: triton.InferenceServerClient, models: Iterator[str]) -> Callable[[], Any]:
    tensor = triton.InferInput("x", [2, 4], "FP32")
    tensor.set_data_from_numpy(_ROWS)

    async def ask() -> Any:
        return (await client.infer(next(models), [tensor])).as_numpy("y")

    return ask
