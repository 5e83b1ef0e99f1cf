"""The rows of the protocol's table of invalid inputs that are about the server's state, over HTTP."""

import asyncio
import json
from pathlib import Path
from typing import Final

import pytest

from onnxd.scheduler.policy import BatchPolicy
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
