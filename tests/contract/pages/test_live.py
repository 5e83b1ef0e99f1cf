"""The stream of what the server does: who may watch, how many, and how it ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio

from onnxd.http_frontend import live
from onnxd_client import AsyncClient
from tests.contract.pages.conftest import with_key
from tests.support.graphs import identity
from tests.support.server import RunningServer, publish, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("live")
    for name in ("seen", "hidden"):
        publish(root / "models", name, 1, identity(), "max_batch_size: 8\n")
    async with running_server(root / "models", root / "state") as running:
        yield running


async def events(reply: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    kind = ""
    async for line in reply.aiter_lines():
        name, _, text = line.partition(": ")
        if name == "event":
            kind = text
        elif name == "data":
            yield kind, json.loads(text)


async def moment(client: httpx.AsyncClient, headers: dict[str, str] | None = None) -> Any:
    async with client.stream("GET", "/v2/events", headers=headers) as reply:
        assert reply.headers["Content-Type"].startswith("text/event-stream")
        async for kind, document in events(reply):
            if kind == "moment":
                return document


async def test_a_moment_has_what_each_version_has_done(server: RunningServer) -> None:
    async with AsyncClient(server.http) as sender, httpx.AsyncClient(base_url=server.http) as client:
        await sender.infer("seen", {"x": np.ones((3, 4), np.float32)})
        document = await moment(client)
    (model,) = [each for each in document["models"] if each["name"] == "seen"]
    assert (model["answered"], model["rows"], model["executions"]) == (1, 3, 1)
    assert model["state"] == "READY"
    assert model["providers"] == ["CPUExecutionProvider"]
    assert sum(model["request_times"]["counts"]) == 1
    assert document["ready"] is True


async def test_the_bounds_of_the_histograms_come_first(server: RunningServer) -> None:
    async with (
        httpx.AsyncClient(base_url=server.http) as client,
        client.stream("GET", "/v2/events") as reply,
    ):
        kind, bounds = await anext(events(reply))
    assert kind == "bounds"
    assert bounds["rows"][:3] == [1, 2, 4]
    assert bounds["seconds"][0] == 1e-4


async def test_one_watcher_too_many_is_told_to_come_later(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_WATCHERS", 1)
    async with httpx.AsyncClient(base_url=server.http) as client:
        async with client.stream("GET", "/v2/events") as watching:
            assert watching.status_code == 200
            refused = await client.get("/v2/events")
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]


async def test_a_drain_ends_the_streams(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("draining")
    publish(root / "models", "one", 1, identity(), "max_batch_size: 8\n")
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_server(root / "models", root / "state"))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=server.http, timeout=30))
        reply = await stack.enter_async_context(client.stream("GET", "/v2/events"))
        seen = events(reply)
        await anext(seen)
        server.server.http.begin_drain()
        async with asyncio.timeout(20):
            assert [kind async for kind, _ in seen if kind != "moment"] == []


async def test_a_watcher_sees_the_models_that_its_key_is_for(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("keys")
    async with (
        with_key(root, "stats:seen", models=("seen", "hidden")) as (server, key),
        httpx.AsyncClient(base_url=server.http) as client,
    ):
        assert (await client.get("/v2/events")).status_code == 401
        document = await moment(client, {"X-API-Key": key})
    assert [model["name"] for model in document["models"]] == ["seen"]


async def test_a_config_is_explained(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.http) as client:
        document = (await client.get("/v2/models/seen/explain")).json()
    keys = {key["key"]: key for key in document["config"]}
    assert keys["max_batch_size"] == {
        "key": "max_batch_size", "value": 8, "source": "file", "file": "config.yaml", "line": 1,
    }  # fmt: skip
    assert keys["inputs[0].datatype"]["source"] == "graph"
    assert keys["instances"]["source"] == "default"


async def test_of_a_bare_model_that_is_batched_the_proof_is_where_the_maximum_comes_from(
    server: RunningServer,
) -> None:
    publish(server.repository, "bare", 1, identity())
    await server.ready("bare")
    async with httpx.AsyncClient(base_url=server.http) as client:
        document = (await client.get("/v2/models/bare/explain")).json()
    (found,) = [key for key in document["config"] if key["key"] == "max_batch_size"]
    assert (found["value"], found["source"]) == (32, "proof")
