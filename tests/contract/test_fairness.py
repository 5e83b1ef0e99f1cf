"""Two callers of one busy model, over both protocols: a flood keeps nobody out, and hears what it is."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import pytest_asyncio

from onnxd.repository.served import ServedVersion
from onnxd.scheduler.fair_share import FairnessConfig
from onnxd.security import key_file
from onnxd.security.config import AuthConfig
from onnxd.telemetry.statistics import FailureReason
from onnxd.tensors import Array
from onnxd_client import AsyncClient, RateLimited, RetryPolicy
from tests.contract.batching.stand import busy
from tests.support.row_graphs import slow_rows
from tests.support.server import RunningServer, publish, running_server
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLACES: Final = 4
ONCE: Final[Mapping[str, Array]] = {"x": np.ones((1, 4), np.float32), "steps": np.zeros((1, 1), np.int64)}
NAMES: Final = ("flood", "light", "heavy")


@pytest.fixture(scope="module")
def bearers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The callers' keys, in a file beside."""
    keys, texts = key_file.empty(), {}
    for name in NAMES:
        keys, key = keys.with_new(name, ("infer",), time.time(), None)
        texts[name] = key.text()
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    key_file.save(path, keys)
    return {**texts, "file": str(path)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    bearers: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("fair")
    config = f"max_batch_size: 1\nbatching: {{max_queue_size: {PLACES}}}\n"
    publish(root / "models", "slow", 1, slow_rows(400), config)
    async with running_server(
        root / "models",
        root / "state",
        auth=AuthConfig(keys_file=Path(bearers["file"])),
        fairness=FairnessConfig({"heavy": 4.0}),
    ) as running:
        yield running


class Callers:
    """One client for each, and the model that they all want."""

    def __init__(self, served: ServedVersion, clients: dict[str, AsyncClient]) -> None:
        self._served = served
        self._clients = clients
        self.ended: list[str] = []

    async def send(self, name: str) -> asyncio.Task[None]:
        """A request that has come to the queue: it waits, or is refused, or another is for its sake."""
        before = self._came
        request = asyncio.create_task(self._ask(name))
        await until(lambda: self._came > before)
        return request

    @property
    def _came(self) -> int:
        refused = self._served.statistics.snapshot().failures[FailureReason.REJECTED]
        return self._served.batcher.waiting_requests + refused

    async def _ask(self, name: str) -> None:
        await self._clients[name].infer("slow", ONCE)
        self.ended.append(name)


@pytest_asyncio.fixture(loop_scope="module", params=["http", "grpc"])
async def callers(
    request: pytest.FixtureRequest, server: RunningServer, bearers: dict[str, str]
) -> AsyncIterator[Callers]:
    url = server.http if request.param == "http" else f"grpc://{server.grpc}"
    once = RetryPolicy(max_tries=1)
    async with AsyncExitStack() as resources:
        clients = {
            name: await resources.enter_async_context(
                AsyncClient(url, headers={"authorization": f"Bearer {bearers[name]}"}, retry=once)
            )
            for name in NAMES
        }
        yield Callers(server.server.inference.served("slow", None), clients)


async def test_a_queue_that_is_full_of_one_callers_requests_has_room_for_another(
    server: RunningServer, callers: Callers
) -> None:
    async with busy(server, "slow") as holding:
        flood = [await callers.send("flood") for _ in range(PLACES)]
        light = await callers.send("light")
        with pytest.raises(RateLimited, match="'flood' has the largest share of it") as refused:
            await flood[-1]
        assert refused.value.retry_after is not None
        with pytest.raises(RateLimited, match="max_queue_size"):
            await (await callers.send("flood"))
        await holding.let_go()
        await asyncio.gather(light, *flood[:-1])
    assert callers.ended.index("light") < PLACES - 1


async def test_a_weight_is_a_share_of_the_places_as_well(server: RunningServer, callers: Callers) -> None:
    async with busy(server, "slow") as holding:
        flood = [await callers.send("flood") for _ in range(PLACES)]
        heavy = [await callers.send("heavy") for _ in range(PLACES - 1)]
        for request in flood[1:]:
            with pytest.raises(RateLimited):
                await request
        await holding.let_go()
        await asyncio.gather(flood[0], *heavy)
