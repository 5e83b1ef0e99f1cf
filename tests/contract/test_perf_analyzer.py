"""perf_analyzer's calls in perf_analyzer's order, over each of its clients, and what it makes of the answers.

Its binary does not run on every machine, so this stands in for it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import aiohttp
import numpy as np
import pytest
import pytest_asyncio

from onnxd.shared_memory.config import SharedMemoryConfig
from onnxd.telemetry.setup import TracingConfig
from onnxd_protos import grpc_service_pb2 as pb
from tests.contract.perf_analyzer_clients import (
    CLIENTS,
    CONCURRENCY,
    DURATIONS,
    MODEL,
    Connect,
    Document,
    Tensor,
)
from tests.contract.shared_memory.wire import WIRES, At, Shared
from tests.support.graphs import two_inputs
from tests.support.grpc_server import grpc_calls
from tests.support.otlp_receiver import GrpcReceiver
from tests.support.raw_http import connect, request_bytes
from tests.support.scraping import Scrape
from tests.support.segments import segment
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
    async with GrpcReceiver() as receiver:
        changes = {
            "shared_memory": SharedMemoryConfig(enabled=True),
            "tracing": TracingConfig(endpoint=receiver.endpoint, sample_ratio=0.0),
        }
        async with running_server(root / "models", root / "state", **changes) as running:
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


async def post(server: RunningServer, path: str, document: Mapping[str, object] | None = None) -> None:
    """As its HTTP client does it: whatever is not 200 ends the program."""
    body = b"" if document is None else json.dumps(document).encode()
    async with connect(server.server.http.port) as connection:
        await connection.send(request_bytes("POST", path, body))
        answer = await connection.answer()
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("wire", WIRES)
async def test_with_trace_options_it_first_sets_those_of_all_models(server: RunningServer, wire: str) -> None:
    settings: dict[str, list[str] | str] = {
        "trace_level": ["TIMESTAMPS"],
        "trace_rate": "1",
        "trace_count": "-1",
        "log_frequency": "0",
    }
    if wire == "HTTP":
        await post(server, "/v2/trace/setting", settings)
        return
    request = pb.TraceSettingRequest(model_name="")
    for key, value in settings.items():
        request.settings[key].value.extend(value if isinstance(value, list) else [value])
    async with grpc_calls(server.grpc) as calls:
        await calls.ask("TraceSetting", request)


async def unregister_all(server: RunningServer, wire: str) -> None:
    """Both kinds, whichever it will use, and both must succeed."""
    if wire == "HTTP":
        await post(server, "/v2/systemsharedmemory/unregister")
        await post(server, "/v2/cudasharedmemory/unregister")
        return
    async with grpc_calls(server.grpc) as calls:
        await calls.ask("SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest(name=""))
        await calls.ask("CudaSharedMemoryUnregister", pb.CudaSharedMemoryUnregisterRequest(name=""))


@pytest.mark.parametrize("wire", WIRES)
async def test_with_shared_memory_each_tensor_has_a_region_between_two_clean_sweeps(
    server: RunningServer, wire: str
) -> None:
    await unregister_all(server, wire)
    port = server.server.http.port if wire == "HTTP" else server.server.grpc.port
    ones = np.ones((BATCH, 4), np.float32).tobytes()
    size = len(ones)
    with segment(size, ones) as a, segment(size, ones) as b, segment(size) as sums:
        async with WIRES[wire](port) as client:
            for name, memory in (("input_a", a), ("input_b", b), ("output", sums)):
                await client.register(name, memory.key, size)
            inputs = {name: Shared(At(f"input_{name}", size), "FP32", (BATCH, 4)) for name in ("a", "b")}
            await client.infer(MODEL, inputs, {"sum": At("output", size)})
            await unregister_all(server, wire)
            assert await client.status() == {}
        assert sums.read() == np.full((BATCH, 4), 2, np.float32).tobytes()
