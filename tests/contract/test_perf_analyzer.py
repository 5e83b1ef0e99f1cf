"""perf_analyzer's calls in perf_analyzer's order, over each of its clients, and what it makes of the answers.

Its binary does not run on every machine, so this stands in for it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import aiohttp
import pytest
import pytest_asyncio

from tests.contract.perf_analyzer_clients import (
    CLIENTS,
    CONCURRENCY,
    DURATIONS,
    MODEL,
    Connect,
    Document,
    Tensor,
)
from tests.support.graphs import two_inputs
from tests.support.scraping import Scrape
from tests.support.server import RunningServer, publish, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

REQUESTS: Final = 10
"""Of each connection, one after the other."""
BATCH: Final = 2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    """Two versions, of which perf_analyzer has to find the one that it measured."""
    root = tmp_path_factory.mktemp("perf_analyzer")
    for version in (1, 2):
        publish(root / "models", MODEL, version, two_inputs(), "max_batch_size: 8\nversions: all\n")
    async with running_server(root / "models", root / "state") as running:
        yield running


# What it makes of the answers.


def shapes(metadata: Document, config: Document, key: str) -> list[Tensor]:
    """The tensors of a side; every one of the config must be in the metadata."""
    known = {tensor["name"]: tensor for tensor in metadata[f"{key}s"]}
    tensors = []
    for tensor in config[key]:
        described = known[tensor["name"]]
        assert isinstance(described["datatype"], str)
        for flag in ("is_shape_tensor", "optional"):
            assert isinstance(tensor.get(flag, False), bool)
        # The first dimension is the batch's where the config says that there is one.
        shape = tuple(int(size) for size in described["shape"])[1 if config["max_batch_size"] > 0 else 0 :]
        assert all(size > 0 for size in shape), "it would ask for --shape"
        tensors.append((tensor["name"], described["datatype"], (BATCH, *shape)))
    return tensors


def by_version(statistics: Sequence[Document]) -> dict[int, Document]:
    for each in statistics:
        assert each["name"] == MODEL
        assert type(each["inference_count"]) is int
        assert type(each["execution_count"]) is int
        for duration in DURATIONS:
            for part in ("count", "ns"):
                number = each["inference_stats"][duration][part]
                assert type(number) is int
                assert number >= 0
    return {int(each["version"]): each for each in statistics}


def measured(before: Mapping[int, Document], after: Mapping[int, Document]) -> int:
    """The highest version whose queue has moved; without one it ends with an error."""

    def queued(statistics: Mapping[int, Document], version: int) -> int:
        return int(statistics[version]["inference_stats"]["queue"]["count"])

    return max(version for version in after if queued(after, version) > queued(before, version))


async def collect_metrics(server: RunningServer) -> None:
    """--collect-metrics: the answer must be 200; series of GPUs are missed with a warning only."""
    async with aiohttp.ClientSession() as session, session.get(server.metrics) as answer:
        assert answer.status == 200
        seen = Scrape.of(await answer.text())
    assert seen.value("nv_inference_count", model=MODEL, version="2") >= 0
    assert not [name for name in seen.samples if name.startswith("nv_gpu")]


@pytest.mark.parametrize("connected", CLIENTS.values(), ids=CLIENTS.keys())
async def test_a_measurement_from_the_first_call_to_the_last(
    server: RunningServer, connected: Connect
) -> None:
    async with connected(server) as client:
        metadata = await client.metadata(MODEL)
        assert metadata["name"] == MODEL

        config = await client.config(MODEL)
        assert config["name"] == MODEL
        assert config["platform"] != "ensemble"
        assert type(config["max_batch_size"]) is int
        assert config["max_batch_size"] >= BATCH
        # The presence of a key chooses the kind of scheduler, and each has a member that it reads unseen.
        assert "sequence_batching" not in config
        assert "dynamic_batching" in config
        assert config.get("model_transaction_policy", {"decoupled": False})["decoupled"] is False
        assert config.get("response_cache", {"enable": False})["enable"] is False
        inputs, outputs = shapes(metadata, config, "input"), shapes(metadata, config, "output")

        assert "statistics" in await client.extensions()
        await collect_metrics(server)

        before = by_version(await client.statistics(MODEL))
        names = [name for name, _, _ in outputs]

        async def work(worker: int) -> None:
            for turn in range(REQUESTS):
                await client.send(worker, worker * REQUESTS + turn, inputs, names)

        await asyncio.gather(*map(work, range(CONCURRENCY)))
        after = by_version(await client.statistics(MODEL))

        assert measured(before, after) == 2
        requests = CONCURRENCY * REQUESTS
        was, now = before[2]["inference_stats"], after[2]["inference_stats"]
        for duration in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
            assert now[duration]["count"] - was[duration]["count"] == requests
            assert now[duration]["ns"] > was[duration]["ns"]
        assert after[2]["inference_count"] - before[2]["inference_count"] == requests * BATCH
        executions = after[2]["execution_count"] - before[2]["execution_count"]
        assert 0 < executions <= requests
