"""A rollback over the wire: a load with a parameter of ours."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import numpy as np
import pytest
import pytest_asyncio
from click.testing import CliRunner

from onnxd.cli.main import cli
from onnxd.messages import InferRequest
from onnxd_client import AsyncClient, Client, InvalidRequest, NotFound, PermissionDenied, Unavailable
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.graphs import row_constant
from tests.support.grpc_server import grpc_calls
from tests.support.raw_http import connect, request_bytes
from tests.support.server import RunningServer, publish, running_server
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

BATCHED: Final = "max_batch_size: 8\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    """`one` has become `two`; `once` has always been what it is."""
    root = tmp_path_factory.mktemp("rollback")
    publish(root / "models", "one", 1, row_constant(1), BATCHED)
    publish(root / "models", "once", 1, row_constant(3), BATCHED)
    async with running_server(root / "models", root / "state") as running:
        publish(root / "models", "one", 1, row_constant(2), BATCHED)

        async def is_two() -> bool:
            return await number(running) == 2

        await until(is_two)
        yield running


async def number(server: RunningServer) -> int:
    request = InferRequest("one", {"x": np.zeros((1, 4), np.float32)})
    response = await server.server.inference.infer(request)
    return int(response.outputs["y"].flat[0])


async def over_http(server: RunningServer, model: str, parameters: object) -> tuple[int, str]:
    body = json.dumps({"parameters": parameters}).encode()
    async with connect(server.server.http.port) as connection:
        await connection.send(request_bytes("POST", f"/v2/repository/models/{model}/load", body))
        answer = await connection.answer()
    return answer.status, answer.json().get("error", "")


async def over_grpc(server: RunningServer, model: str, **parameters: pb.ModelRepositoryParameter) -> None:
    async with grpc_calls(server.grpc) as calls:
        message = pb.RepositoryModelLoadRequest(model_name=model, parameters=parameters)
        await calls.ask("RepositoryModelLoad", message)


TRUE = pb.ModelRepositoryParameter(bool_param=True)


async def by_http(server: RunningServer) -> None:
    assert await over_http(server, "one", {"onnxd_rollback": True}) == (200, "")


async def by_grpc(server: RunningServer) -> None:
    await over_grpc(server, "one", onnxd_rollback=TRUE)


async def by_sdk_http(server: RunningServer) -> None:
    async with AsyncClient(server.http) as client:
        await client.repository.rollback("one")


async def by_sdk_grpc(server: RunningServer) -> None:
    def ask() -> None:
        with Client(f"grpc://{server.grpc}") as client:
            client.repository.rollback("one")

    await asyncio.to_thread(ask)


async def by_command(server: RunningServer) -> None:
    result = await asyncio.to_thread(CliRunner().invoke, cli, ["rollback", "one", "--url", server.http])
    assert result.exit_code == 0, result.output
    assert "Rolled back: one serves version 1." in result.output


@pytest.mark.parametrize("way", [by_http, by_grpc, by_sdk_http, by_sdk_grpc, by_command])
async def test_a_load_that_asks_for_it_goes_back_and_the_next_one_forth(
    server: RunningServer, way: Callable[[RunningServer], Awaitable[None]]
) -> None:
    await way(server)
    assert await number(server) == 1
    await way(server)
    assert await number(server) == 2


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"onnxd_rollback": False}, "'onnxd_rollback': expected true, got false"),
        ({"onnxd_rollback": "true"}, "'onnxd_rollback': expected true, got 'true'"),
        ({"onnxd_rollback": 1}, "'onnxd_rollback': expected true, got 1"),
        ({"onnxd_rollback": None}, "'onnxd_rollback': expected true, got null"),
        ({"onnxd_rollback": True, "config": "{}"}, "'onnxd_rollback' stands alone"),
        ({"onnxd_rolback": True}, "'onnxd_rolback' is not known: expected 'onnxd_rollback'"),
    ],
)
async def test_what_is_no_rollback_is_none(
    server: RunningServer, parameters: dict[str, Any], text: str
) -> None:
    status, error = await over_http(server, "one", parameters)
    assert status == 400
    assert text in error
    assert await number(server) == 2


async def test_over_grpc_too_it_is_a_truth_value_alone(server: RunningServer) -> None:
    wrong: list[dict[str, pb.ModelRepositoryParameter]] = [
        {"onnxd_rollback": pb.ModelRepositoryParameter(bool_param=False)},
        {"onnxd_rollback": pb.ModelRepositoryParameter(string_param="true")},
        {"onnxd_rollback": pb.ModelRepositoryParameter(int64_param=1)},
        {"onnxd_rollback": pb.ModelRepositoryParameter()},
        {"onnxd_rollback": TRUE, "config": pb.ModelRepositoryParameter(string_param="{}")},
    ]
    for parameters in wrong:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await over_grpc(server, "one", **parameters)
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "'onnxd_rollback'" in (failed.value.details() or "")
    assert await number(server) == 2


async def test_what_cannot_be_done_says_why(server: RunningServer) -> None:
    status, error = await over_http(server, "once", {"onnxd_rollback": True})
    assert status == 400
    assert error.startswith("failed to roll back 'once': nothing else of it has served")
    status, error = await over_http(server, "nobody", {"onnxd_rollback": True})
    assert status == 404
    async with AsyncClient(server.http) as client:
        with pytest.raises(InvalidRequest, match="nothing to go back to"):
            await client.repository.rollback("once")
        with pytest.raises(NotFound):
            await client.repository.rollback("nobody")
    result = await asyncio.to_thread(CliRunner().invoke, cli, ["rollback", "once", "--url", server.http])
    assert result.exit_code == 1
    assert "nothing to go back to" in result.output


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [({"model_control_api": False}, PermissionDenied), ({"model_control": "none"}, Unavailable)],
)
async def test_where_loads_are_switched_off_so_are_rollbacks(
    tmp_path: Path, changes: dict[str, Any], refusal: type[Exception]
) -> None:
    publish(tmp_path / "models", "one", 1, row_constant(1), BATCHED)
    async with running_server(tmp_path / "models", tmp_path / "state", **changes) as server:
        for url in (server.http, f"grpc://{server.grpc}"):
            async with AsyncClient(url) as client:
                with pytest.raises(refusal):
                    await client.repository.rollback("one", deadline=5)
