"""The rows of the protocol's table of invalid inputs that are about the server's state."""

import asyncio
import json
from pathlib import Path
from typing import Final

import grpc
import pytest
from google.protobuf.message import Message

from onnxd.inference import InferenceConfig, InferenceService
from onnxd.scheduler.policy import BatchPolicy
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.grpc_server import ONES, GrpcCalls, grpc_server, infer_request
from tests.support.http_server import INFER, http_server
from tests.support.raw_http import Answer, connect, request_bytes
from tests.support.server import running_server
from tests.support.serving import HoldingRunner, Serving, identity_spec, served_version, serving

PATH: Final = "/v2/models/identity/infer"


@pytest.fixture
async def runner() -> HoldingRunner:
    return HoldingRunner(identity_spec(max_batch_size=1))


@pytest.fixture
async def stand(runner: HoldingRunner) -> Serving:
    """A model that keeps what it runs, with room for one request in its queue."""
    spec = identity_spec(max_batch_size=1)
    return serving(served_version(spec, runner, policy=BatchPolicy(max_queue_size=1)))


async def finish(runner: HoldingRunner, *tasks: asyncio.Task[Answer]) -> list[Answer]:
    """The answers, letting each run end."""
    while not all(task.done() for task in tasks):
        runner.release()
        await asyncio.sleep(0)
    return [task.result() for task in tasks]


def assert_come_back_later(answer: Answer, named: str) -> None:
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert named in answer.error


async def test_row_43_a_full_queue_refuses_one_more(stand: Serving, runner: HoldingRunner) -> None:
    async with http_server(stand) as server, asyncio.TaskGroup() as group:
        running = group.create_task(server.post(PATH, INFER))
        await runner.begun.wait()
        two = {group.create_task(server.post(PATH, INFER)) for _ in range(2)}
        [refused], [waiting] = await asyncio.wait(two, return_when=asyncio.FIRST_COMPLETED)
        assert_come_back_later(refused.result(), "queue")
        assert [answer.status for answer in await finish(runner, running, waiting)] == [200, 200]


async def test_row_43_a_request_waits_no_longer_than_its_timeout(
    stand: Serving, runner: HoldingRunner
) -> None:
    hasty = json.dumps(json.loads(INFER) | {"parameters": {"timeout": 1}}).encode()
    async with http_server(stand) as server, asyncio.TaskGroup() as group:
        running = group.create_task(server.post(PATH, INFER))
        await runner.begun.wait()
        assert_come_back_later(await server.post(PATH, hasty), "queue")
        assert [answer.status for answer in await finish(runner, running)] == [200]


async def test_row_46_nobody_loads_when_control_is_off(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    async with (
        running_server(tmp_path / "models", tmp_path / "state", model_control="none") as server,
        connect(server.server.http.port) as connection,
    ):
        for verb in ("load", "unload"):
            await connection.send(request_bytes("POST", f"/v2/repository/models/m/{verb}"))
            answer = await connection.answer()
            assert answer.status == 503
            assert "model-control" in answer.error


@pytest.fixture
async def stopping(stand: Serving) -> Serving:
    """The same, on its way out."""
    stand.inference.stop()
    return stand


async def test_row_50_a_server_on_its_way_out_takes_no_requests(stopping: Serving) -> None:
    async with http_server(stopping) as server:
        assert_come_back_later(await server.post(PATH, INFER), "shutting down")
        assert_come_back_later(await server.get("/v2/health/ready"), "not ready")
        assert (await server.get("/v2/health/live")).json() == {"live": True}


async def test_row_50_a_server_on_its_way_out_takes_no_calls(stopping: Serving) -> None:
    async with grpc_server(stopping) as server:
        await assert_unavailable(
            server.calls, "ModelInfer", infer_request("identity", {"x": ONES}), "shutting down"
        )
        assert not (await server.calls.ask("ServerReady", pb.ServerReadyRequest())).ready
        assert (await server.calls.ask("ServerLive", pb.ServerLiveRequest())).live


@pytest.fixture
async def starting(stand: Serving) -> Serving:
    """The same, before its first load is over: `identity` serves already."""
    return Serving(stand.catalog, InferenceService(stand.catalog, InferenceConfig()), stand.control)


async def test_row_50_a_server_that_starts_says_of_no_model_that_it_is_missing(
    starting: Serving, runner: HoldingRunner
) -> None:
    async with http_server(starting) as server, asyncio.TaskGroup() as group:
        for path in ("/v2/models/late", "/v2/models/late/config", "/v2/models/late/stats"):
            assert_come_back_later(await server.get(path), "'late'")
        assert_come_back_later(await server.get("/v2/models/late/ready"), "starting")
        assert_come_back_later(await server.post("/v2/models/late/infer", INFER), "starting")
        assert_come_back_later(await server.get("/v2/health/ready"), "not ready")
        running = group.create_task(server.post(PATH, INFER))
        await runner.begun.wait()
        assert [answer.status for answer in await finish(runner, running)] == [200]
        starting.inference.open()
        assert (await server.get("/v2/models/late")).status == 404


async def test_row_50_nor_does_it_over_grpc(starting: Serving) -> None:
    async with grpc_server(starting) as server:
        await assert_unavailable(server.calls, "ModelInfer", infer_request("late", {"x": ONES}), "starting")
        await assert_unavailable(
            server.calls, "ModelMetadata", pb.ModelMetadataRequest(name="late"), "starting"
        )
        assert not (await server.calls.ask("ModelReady", pb.ModelReadyRequest(name="late"))).ready
        starting.inference.open()
        refused = await server.calls.refusal("ModelMetadata", pb.ModelMetadataRequest(name="late"))
        assert refused.code is grpc.StatusCode.NOT_FOUND


async def assert_unavailable(calls: GrpcCalls, name: str, request: Message, phrase: str) -> None:
    refused = await calls.refusal(name, request)
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert phrase in refused.details
    assert "grpc-status-details-bin" in dict(refused.error.trailing_metadata())  # when to come back
