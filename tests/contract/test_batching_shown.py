"""What a server shows of its batching: over HTTP, in the metrics, and who may see it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from click.testing import CliRunner

from onnxd.cli.main import cli
from onnxd.messages import CUT_REASONS
from onnxd_client import AsyncClient, Client, InvalidRequest, NotFound
from tests.support import row_graphs
from tests.support.graphs import add_one
from tests.support.scraping import Scrape
from tests.support.server import RunningServer, publish, running_server
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

X = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}
HELD = "max_batch_size: 8\nbatching: {max_queue_delay: 20s, preferred_sizes: [4], priority_levels: 2}\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("shown")
    publish(root / "models", "idle", 1, add_one(), "max_batch_size: 8\n")
    publish(root / "models", "held", 1, add_one(), HELD)
    publish(root / "models", "alone", 1, add_one(), "max_batch_size: 0\n")
    publish(root / "models", "slow", 1, row_graphs.slow_rows(0), "max_batch_size: 8\n")
    async with running_server(root / "models", root / "state") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def http(server: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.http) as session:
        yield session


async def shown(http: aiohttp.ClientSession, path: str) -> Any:
    async with http.get(f"/v2/models/{path}") as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "application/json"
        return await answer.json()


def body(steps: int | None = None, **parameters: int) -> dict[str, Any]:
    more = [] if steps is None else [{"name": "steps", "datatype": "INT64", "shape": [1, 1], "data": [steps]}]
    return {"inputs": [X, *more], "parameters": parameters}


async def infer(http: aiohttp.ClientSession, model: str, **more: int) -> None:
    async with http.post(f"/v2/models/{model}/infer", json=body(**more)) as answer:
        assert answer.status == 200, await answer.text()


async def test_before_the_first_request_there_is_what_the_warm_up_took(http: aiohttp.ClientSession) -> None:
    document = await shown(http, "idle/batching")
    assert (document["name"], document["version"]) == ("idle", "1")
    (bucket,) = document["buckets"]
    assert bucket["bucket"] == "x FP32 [4] -> y"
    assert [size["rows"] for size in bucket["sizes"]] == [1, 8]
    assert bucket["runs"] == 2
    assert all(size["median_s"] > 0 for size in bucket["sizes"])
    assert set(bucket["fit"]) == {"base_s", "per_row_s", "error", "good"}
    assert bucket["cap"] == {"rows": 8, "reason": "maximum"}
    assert document["batches"] == []
    assert document["cuts"] == dict.fromkeys(CUT_REASONS, 0)
    assert document["instances"] == {"count": 1, "busy": 0}


async def test_a_batch_says_its_size_and_why_it_was_cut(http: aiohttp.ClientSession) -> None:
    await asyncio.gather(*(infer(http, "held", priority=1) for _ in range(4)))
    document = await shown(http, "held/versions/1/batching")
    (batch,) = document["batches"]
    assert (batch["rows"], batch["requests"], batch["cut"]) == (4, 4, "preferred")
    assert (batch["failed"], batch["again"], batch["bucket"]) == (False, False, "x FP32 [4] -> y")
    assert batch["run_s"] > 0
    assert batch["ended_s"] >= 0
    assert document["cuts"]["preferred"] == 1
    (bucket,) = document["buckets"]
    assert [size["rows"] for size in bucket["sizes"]] == [1, 4, 8]


async def test_the_queue_is_shown_by_shape_and_priority(http: aiohttp.ClientSession) -> None:
    async with asyncio.TaskGroup() as group:
        for priority in (2, 1, 2):
            group.create_task(infer(http, "held", priority=priority))

        async def all_wait() -> bool:
            return bool((await shown(http, "held/batching"))["queue"]["requests"] == 3)

        await until(all_wait)
        queue = (await shown(http, "held/batching"))["queue"]
        assert queue["rows"] == 3
        assert [(row["priority"], row["requests"], row["delayed"]) for row in queue["waiting"]] == [
            (1, 1, False),
            (2, 2, False),
        ]
        assert all(0 <= row["oldest_s"] < 20 for row in queue["waiting"])
        group.create_task(infer(http, "held", priority=2))


async def test_the_policy_is_the_one_in_force(http: aiohttp.ClientSession) -> None:
    policy = (await shown(http, "held/batching"))["policy"]
    assert policy["max_queue_delay_s"] == 20.0
    assert policy["preferred_sizes"] == [4]
    assert policy["priority_levels"] == 2
    assert (policy["max_batch_size"], policy["dynamic"], policy["split_large"]) == (8, True, False)


async def test_of_a_model_that_does_not_batch_each_run_is_a_request(http: aiohttp.ClientSession) -> None:
    async with http.get("/v2/models/alone") as answer:
        assert (await answer.json())["inputs"][0]["shape"] == [-1, 4]
    await infer(http, "alone")
    document = await shown(http, "alone/batching")
    assert [(batch["rows"], batch["cut"]) for batch in document["batches"]] == [(1, "single")]
    assert [(bucket["bucket"], bucket["cap"]["rows"]) for bucket in document["buckets"]] == [("any", 1)]


async def test_no_more_batches_are_shown_than_are_kept(http: aiohttp.ClientSession) -> None:
    for _ in range(70):
        await infer(http, "idle")
    document = await shown(http, "idle/batching")
    assert len(document["batches"]) == 64
    assert document["cuts"]["idle"] >= 70


async def test_the_metrics_say_the_same(http: aiohttp.ClientSession) -> None:
    await infer(http, "alone")
    document = await shown(http, "alone/batching")
    async with http.get("/metrics") as answer:
        found = Scrape.of(await answer.text())
    labels = {"model": "alone", "version": "1"}
    assert found.value("onnxd_batches_total", **labels, reason="single") == document["cuts"]["single"]
    assert found.value("onnxd_batches_total", **labels, reason="knee") == 0
    assert found.value("onnxd_batch_cap_rows", **labels) == 1
    (bucket,) = document["buckets"]
    assert found.value("onnxd_run_base_seconds", **labels) == pytest.approx(bucket["fit"]["base_s"])
    assert found.value("onnxd_run_row_seconds", **labels) == pytest.approx(bucket["fit"]["per_row_s"])


async def test_what_is_not_there_is_not_found(http: aiohttp.ClientSession) -> None:
    for path in ("nobody/batching", "idle/versions/7/batching"):
        async with http.get(f"/v2/models/{path}") as answer:
            assert answer.status in (400, 404)
            assert "error" in await answer.json()
    async with http.post("/v2/models/idle/batching") as answer:
        assert answer.status == 405


async def test_a_deadline_that_cannot_be_met_is_refused_at_once(http: aiohttp.ClientSession) -> None:
    steps, run_s = 1000, 0.0
    while run_s < 0.05:  # of one step, that is the machine's to say
        steps *= 2
        await infer(http, "slow", steps=steps)
        run_s = (await shown(http, "slow/batching"))["batches"][0]["run_s"]
    for _ in range(9):
        await infer(http, "slow", steps=steps)
    (bucket,) = (await shown(http, "slow/batching"))["buckets"]
    assert bucket["fit"]["good"]
    headers = {"x-request-timeout-ms": "5"}
    async with http.post("/v2/models/slow/infer", json=body(steps), headers=headers) as answer:
        assert answer.status == 504
        assert "cannot be met" in (await answer.json())["error"]
    assert (await shown(http, "slow/batching"))["instances"]["busy"] == 0


async def test_the_sdk_has_it_over_http_and_says_so_over_grpc(server: RunningServer) -> None:
    async with AsyncClient(server.http) as client:
        assert (await client.batching("idle", 1))["name"] == "idle"
        with pytest.raises(NotFound):
            await client.batching("nobody")
    assert (await asyncio.to_thread(_asked, server.http, "held"))["policy"]["preferred_sizes"] == [4]
    async with AsyncClient(f"grpc://{server.grpc}") as client:
        with pytest.raises(InvalidRequest, match="over HTTP only"):
            await client.batching("idle")
    with pytest.raises(InvalidRequest, match="over HTTP only"):
        await asyncio.to_thread(_asked, f"grpc://{server.grpc}", "held")


def _asked(url: str, model: str) -> dict[str, Any]:
    with Client(url) as client:
        return client.batching(model)


async def test_the_command_shows_it_in_tables(server: RunningServer, http: aiohttp.ClientSession) -> None:
    await infer(http, "idle")

    async def run(*arguments: str) -> Any:
        return await asyncio.to_thread(
            CliRunner().invoke, cli, ["batching", *arguments, "--url", server.http]
        )

    shown = await run("idle")
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith(
        "idle version 1: batches of up to 8 rows; 0 of 1 instances busy, 0 requests"
    )
    assert "x FP32 [4] -> y" in shown.stdout
    assert "idle" in shown.stdout
    alone = await run("alone", "--version", "1")
    assert "requests run one by one" in alone.stdout
    held = await run("held")
    assert "held back for up to 20 s" in held.stdout
    assert json.loads((await run("idle", "--json")).stdout)["name"] == "idle"
    assert (await run("nobody")).exit_code == 1
