"""Models that are loaded with the first request for them (setting lazy_load)."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest
from structlog.testing import capture_logs

from onnxd.errors import ModelUnavailable
from onnxd.repository.catalog import ASLEEP, ModelState
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.graphs import row_constant
from tests.support.one_model import BATCHED, answer, reasons, rollback, until_served
from tests.support.server import publish, running_server
from tests.support.until import until

BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [0, 0, 0, 0]}]}
ASLEEP_ENTRY = (ModelState.UNAVAILABLE, ASLEEP.reason)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    publish(tmp_path / "models", "one", 1, row_constant(1), BATCHED)
    return tmp_path / "models"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


async def test_the_first_request_loads_a_model_once_for_all_who_ask(repository: Path, state: Path) -> None:
    with capture_logs() as events:
        async with running_server(repository, state, lazy_load=True) as server:
            assert await reasons(server) == {1: ASLEEP_ENTRY}
            assert server.server.lifecycle.loads == {"success": 0, "failure": 0}
            assert await asyncio.gather(*(answer(server) for _ in range(20))) == [1] * 20
            assert server.server.lifecycle.loads == {"success": 1, "failure": 0}
            assert (await reasons(server))[1] == (ModelState.READY, "")
    assert len([event for event in events if event["event"] == "loaded"]) == 1


async def get(session: aiohttp.ClientSession, path: str) -> int:
    async with session.get(path) as response:
        return response.status


async def post(session: aiohttp.ClientSession, path: str, body: Any) -> int:
    async with session.post(path, json=body) as response:
        return response.status


@pytest.mark.parametrize(
    "ask",
    [
        lambda session: post(session, "/v2/models/one/infer", BODY),
        lambda session: get(session, "/v2/models/one"),
        lambda session: get(session, "/v2/models/one/config"),
        lambda session: get(session, "/v2/models/one/versions/1"),
    ],
    ids=["infer", "metadata", "config", "a version"],
)
async def test_any_question_about_a_model_over_http_loads_it(
    repository: Path, state: Path, ask: Callable[[aiohttp.ClientSession], Awaitable[int]]
) -> None:
    async with (
        running_server(repository, state, lazy_load=True) as server,
        aiohttp.ClientSession(server.http) as session,
    ):
        assert await get(session, "/v2/health/ready") == 200
        assert await get(session, "/v2/models/one/ready") == 200  # it would answer
        assert await reasons(server) == {1: ASLEEP_ENTRY}
        assert await ask(session) == 200
        assert (await reasons(server))[1] == (ModelState.READY, "")


async def test_any_question_about_a_model_over_grpc_loads_it(repository: Path, state: Path) -> None:
    publish(repository, "two", 1, row_constant(2), BATCHED)
    async with (
        running_server(repository, state, lazy_load=True) as server,
        grpc.aio.insecure_channel(server.grpc) as channel,
    ):
        ready = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelReady",
            pb.ModelReadyRequest.SerializeToString,
            pb.ModelReadyResponse.FromString,
        )
        metadata = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelMetadata",
            pb.ModelMetadataRequest.SerializeToString,
            pb.ModelMetadataResponse.FromString,
        )
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            pb.ModelInferRequest.SerializeToString,
            pb.ModelInferResponse.FromString,
        )
        assert (await ready(pb.ModelReadyRequest(name="one"))).ready
        assert await reasons(server) == {1: ASLEEP_ENTRY}
        assert (await metadata(pb.ModelMetadataRequest(name="one"))).inputs[0].name == "x"
        request = pb.ModelInferRequest(model_name="two", raw_input_contents=[bytes(16)])
        request.inputs.add(name="x", datatype="FP32", shape=(1, 4))
        assert (await infer(request)).outputs[0].name == "y"


async def test_a_model_that_cannot_be_loaded_is_known_without_a_request(
    repository: Path, state: Path
) -> None:
    publish(repository, "one", 1, b"no graph")
    async with running_server(repository, state, lazy_load=True) as server:
        assert "model.onnx is not an ONNX model" in server.server.lifecycle.failed_at_start["one"]
        for _ in range(2):
            with pytest.raises(ModelUnavailable, match="is not an ONNX model"):
                await answer(server)
        assert server.server.lifecycle.loads["failure"] == 1
        publish(repository, "one", 1, row_constant(3))
        await until_served(server, 3)


async def test_a_load_that_fails_on_request_is_told_and_not_tried_again(
    repository: Path, state: Path
) -> None:
    async with running_server(repository, state, lazy_load=True, model_control="none") as server:
        shutil.rmtree(repository / "one")  # what was examined is gone before anybody asks
        for _ in range(2):
            with pytest.raises(ModelUnavailable, match="model 'one' has no version that serves: "):
                await answer(server)
        assert not server.server.inference.model_ready("one", None)
        assert server.server.lifecycle.loads["success"] == 0


async def test_changed_files_are_examined_and_what_serves_is_replaced_at_once(
    repository: Path, state: Path
) -> None:
    async with running_server(repository, state, lazy_load=True) as server:
        publish(repository, "one", 1, row_constant(2))
        publish(repository, "late", 1, row_constant(5), BATCHED)
        await until(lambda: server.server.inference._catalog.sleeps("late"))
        await until_served(server, 2)  # asleep again, or awake: the files count
        publish(repository, "one", 1, row_constant(3))
        await until_served(server, 3)
        assert await answer(server, model="late") == 5


async def test_load_unload_and_rollback_work_on_models_that_are_asleep(repository: Path, state: Path) -> None:
    async with running_server(repository, state, lazy_load=True) as server:
        await server.server.lifecycle.unload("one")
        with pytest.raises(ModelUnavailable, match="unloaded"):
            await answer(server)
        await server.server.lifecycle.load("one")
        assert (await reasons(server))[1] == (ModelState.READY, "")
        publish(repository, "one", 1, row_constant(2))
        await until_served(server, 2)
    async with running_server(repository, state, lazy_load=True) as server:
        await rollback(server)
        assert await answer(server) == 1
    async with running_server(repository, state, lazy_load=True) as server:
        assert await answer(server) == 1  # also where a request wakes it


async def test_models_that_readiness_needs_are_loaded_at_once(repository: Path, state: Path) -> None:
    publish(repository, "other", 1, row_constant(2), BATCHED)
    async with running_server(
        repository, state, lazy_load=True, ready_models=("one",), strict_readiness=True
    ) as server:
        assert (await reasons(server))[1] == (ModelState.READY, "")
        assert server.server.inference._catalog.sleeps("other")
        assert server.server.inference.missing is None


async def test_the_wait_is_bounded_and_the_load_goes_on(repository: Path, state: Path) -> None:
    async with running_server(repository, state, lazy_load=True) as server:
        with pytest.raises(ModelUnavailable, match="is being loaded, which takes longer than this request"):
            await server.server.inference.wake("one", 0)
        await server.ready("one")
        assert await answer(server) == 1
