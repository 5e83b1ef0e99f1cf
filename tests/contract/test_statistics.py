"""Statistics that add up: under load, over both protocols, in the metrics, and across a reload."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc.aio as triton_grpc
import tritonclient.http.aio as triton_http
from google.protobuf.json_format import MessageToDict

from tests.support.graphs import add_one, row_constant
from tests.support.scraping import Scrape
from tests.support.server import RunningServer, publish, running_server
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

IN_FLIGHT = 64
ROUNDS = 3
MAX_ROWS = 8
# The delay makes it certain that requests which are in flight together share their batches.
BATCHES = f"max_batch_size: {MAX_ROWS}\nbatching: {{max_queue_delay: 200ms}}\n"
STAGES = ("queue", "compute_input", "compute_infer", "compute_output")
METRICS = {
    "success": "nv_inference_request_duration_us",
    "queue": "nv_inference_queue_duration_us",
    "compute_input": "nv_inference_compute_input_duration_us",
    "compute_infer": "nv_inference_compute_infer_duration_us",
    "compute_output": "nv_inference_compute_output_duration_us",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    """A model for the load over each protocol, which is behind it before the tests begin."""
    root = tmp_path_factory.mktemp("statistics")
    for model in ("http", "grpc"):
        publish(root / "models", model, 1, add_one(), BATCHES)
    publish(root / "models", "idle", 1, row_constant(1), "max_batch_size: 8\n")
    async with running_server(root / "models", root / "state") as running:
        async with triton_http.InferenceServerClient(
            running.http.removeprefix("http://"), conn_limit=IN_FLIGHT
        ) as client:
            await load(client, triton_http.InferInput("x", [1, 4], "FP32"), "http")
        async with triton_grpc.InferenceServerClient(running.grpc) as client:
            await load(client, triton_grpc.InferInput("x", [1, 4], "FP32"), "grpc")
        yield running


async def load(client: Any, tensor: Any, model: str) -> None:
    """Keep so many requests in flight, each in its turn a few times."""
    tensor.set_data_from_numpy(np.ones((1, 4), np.float32))

    async def ask() -> None:
        for _ in range(ROUNDS):
            answer = await client.infer(model, [tensor])
            assert answer.as_numpy("y").tolist() == [[2.0] * 4]

    await asyncio.gather(*(ask() for _ in range(IN_FLIGHT)))


async def over_http(server: RunningServer, model: str) -> Mapping[str, Any]:
    async with triton_http.InferenceServerClient(server.http.removeprefix("http://")) as client:
        document = await client.get_inference_statistics(model)
    [statistics] = document["model_stats"]
    assert isinstance(statistics, Mapping)
    return statistics


async def over_grpc(server: RunningServer, model: str) -> Mapping[str, Any]:
    """As the JSON form has it: 64-bit numbers as numbers, and no field left out."""
    async with triton_grpc.InferenceServerClient(server.grpc) as client:
        message = await client.get_inference_statistics(model)
    [statistics] = message.model_stats
    document = MessageToDict(
        statistics, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return {key: numbers(value) for key, value in document.items()}


def numbers(value: Any) -> Any:
    match value:
        case dict():
            return {key: numbers(below) for key, below in value.items()}
        case list():
            return [numbers(below) for below in value]
        case str() if value.isdigit():
            return int(value)
        case _:
            return value


async def scrape(server: RunningServer) -> Scrape:
    async with aiohttp.ClientSession() as session, session.get(server.metrics) as answer:
        assert answer.status == 200
        return Scrape.of(await answer.text())


@pytest.mark.parametrize("model", ["http", "grpc"])
async def test_the_stages_add_up_to_no_more_than_the_whole_and_all_took_time(
    server: RunningServer, model: str
) -> None:
    statistics = (await over_http(server, model))["inference_stats"]
    assert all(statistics[stage]["ns"] > 0 for stage in ("success", *STAGES))
    assert sum(statistics[stage]["ns"] for stage in STAGES) <= statistics["success"]["ns"]


@pytest.mark.parametrize("model", ["http", "grpc"])
async def test_each_request_is_counted_once_in_every_stage(server: RunningServer, model: str) -> None:
    statistics = await over_http(server, model)
    counts = {key: value["count"] for key, value in statistics["inference_stats"].items()}
    answered = IN_FLIGHT * ROUNDS
    assert counts == {
        **dict.fromkeys(("success", *STAGES), answered),
        "fail": 0,
        "cache_hit": 0,
        "cache_miss": 0,
    }
    assert statistics["inference_count"] == answered


@pytest.mark.parametrize("model", ["http", "grpc"])
async def test_requests_in_flight_together_share_batches(server: RunningServer, model: str) -> None:
    statistics = await over_http(server, model)
    batches = [(each["batch_size"], each["compute_infer"]["count"]) for each in statistics["batch_stats"]]
    executions = sum(count for _, count in batches)
    assert executions == statistics["execution_count"]
    assert sum(rows * count for rows, count in batches) == statistics["inference_count"]
    assert statistics["inference_count"] / executions > 1
    assert max(rows for rows, _ in batches) <= MAX_ROWS
    assert [rows for rows, _ in batches] == sorted(rows for rows, _ in batches)
    for each in statistics["batch_stats"]:
        assert len({each[part]["count"] for part in STAGES[1:]}) == 1


@pytest.mark.parametrize("model", ["http", "grpc", "idle"])
async def test_both_protocols_tell_the_same(server: RunningServer, model: str) -> None:
    http, grpc = await over_http(server, model), await over_grpc(server, model)
    assert {**http, "version": int(http["version"])} == {**grpc, "version": int(grpc["version"])}


@pytest.mark.parametrize("model", ["http", "grpc", "idle"])
async def test_the_metrics_tell_what_the_statistics_tell(server: RunningServer, model: str) -> None:
    statistics, seen = await over_http(server, model), await scrape(server)
    inference = statistics["inference_stats"]

    def value(name: str) -> float:
        return seen.value(name, model=model, version="1")

    for stage, name in METRICS.items():
        assert value(name) == inference[stage]["ns"] // 1000
    assert value("nv_inference_request_success") == inference["success"]["count"]
    assert value("nv_inference_count") == statistics["inference_count"]
    assert value("nv_inference_exec_count") == statistics["execution_count"]
    failures = seen.samples["nv_inference_request_failure"]
    assert sum(count for labels, count in failures.items() if ("model", model) in labels) == 0
    for name, stages in {
        "onnxd_request_duration_seconds": ("success",),
        "onnxd_queue_duration_seconds": ("queue",),
        "onnxd_compute_duration_seconds": STAGES[1:],
    }.items():
        assert value(f"{name}_count") == inference["success"]["count"]
        assert value(f"{name}_sum") == sum(inference[stage]["ns"] for stage in stages) / 1e9
    assert value("onnxd_batch_rows_count") == statistics["execution_count"]
    assert value("onnxd_batch_rows_sum") == statistics["inference_count"]


async def test_the_last_inference_is_later_where_the_load_came_later(server: RunningServer) -> None:
    times = [(await over_http(server, model))["last_inference"] for model in ("idle", "http", "grpc")]
    assert times[0] == 0 < times[1] <= times[2]


async def test_a_versions_series_are_there_at_0_from_its_load_and_gone_when_it_is_unloaded(
    server: RunningServer,
) -> None:
    async with aiohttp.ClientSession() as session:
        seen = await scrape(server)
        assert seen.value("nv_inference_request_success", model="idle", version="1") == 0
        assert seen.value("nv_model_load_duration_secs", model="idle", version="1") > 0
        assert sum(seen.counts("onnxd_placement", "where", model="idle").values()) == 1
        async with session.post(f"{server.http}/v2/repository/models/idle/unload") as answer:
            assert answer.status == 200
        assert (await scrape(server)).series(model="idle") == set()
        async with session.post(f"{server.http}/v2/repository/models/idle/load") as answer:
            assert answer.status == 200
        assert (await scrape(server)).series(model="idle") == seen.series(model="idle")


async def test_a_reload_begins_at_0(server: RunningServer) -> None:
    before = server.server.inference.served("grpc", 1)
    assert before.statistics.snapshot().inference_count > 0
    publish(server.repository, "grpc", 1, row_constant(7))
    await until(lambda: server.server.inference.served("grpc", 1) is not before)
    statistics = await over_grpc(server, "grpc")
    assert statistics["inference_count"] == statistics["execution_count"] == statistics["last_inference"] == 0
    assert {each["count"] + each["ns"] for each in statistics["inference_stats"].values()} == {0}
    assert statistics["batch_stats"] == []
    seen = await scrape(server)
    assert seen.value("nv_inference_request_success", model="grpc") == 0
    assert seen.value("onnxd_request_duration_seconds_count", model="grpc") == 0
    assert seen.value("nv_inference_request_success", model="http") > 0


async def test_loads_are_counted_by_their_result(server: RunningServer) -> None:
    before = await scrape(server)
    failures = server.server.lifecycle.loads["failure"]
    publish(server.repository, "broken", 1, b"this is no graph")
    # The index has the reason first; it counts when all that follows from it is done.
    await until(lambda: server.server.lifecycle.loads["failure"] > failures)
    after = await scrape(server)
    results = {
        result: after.value("onnxd_model_loads_total", result=result)
        - before.value("onnxd_model_loads_total", result=result)
        for result in ("success", "failure")
    }
    assert results == {"success": 0, "failure": 1}
    assert after.series(model="broken") == set()
