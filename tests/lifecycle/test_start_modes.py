"""What a server does at its start when a model does not load, and when it counts as ready."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from onnxd_protos import grpc_service_pb2 as pb
from tests.support.graphs import add_one
from tests.support.server import RunningServer, publish, running_server, server_process
from tests.support.until import until

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    publish(tmp_path / "models", "good", 1, add_one(), "max_batch_size: 8\n")
    return tmp_path / "models"


def serve(repository: Path, state: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`onnxd serve` to its end."""
    command = [
        sys.executable, "-m", "onnxd", "serve",
        "--model-repository", str(repository), "--state-dir", str(state),
        "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0", "--exit-on-error", *arguments,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("publishes", "arguments", "reason"),
    [
        ("broken", [], "model 'broken' did not load: model.onnx is not an ONNX model"),
        ("empty", [], "model 'empty' did not load: it has no version"),
        (
            "",
            ["--model-control", "explicit", "--load-model", "nobody"],
            "model 'nobody' did not load: to be loaded at the start, but not in the repository",
        ),
    ],
)
def test_with_exit_on_error_a_model_that_fails_at_the_start_ends_the_server(
    repository: Path, tmp_path: Path, publishes: str, arguments: list[str], reason: str
) -> None:
    if publishes == "broken":
        publish(repository, "broken", 1, b"not a graph")
    elif publishes:
        (repository / publishes).mkdir()
    ended = serve(repository, tmp_path / "state", *arguments)
    assert ended.returncode == 1
    assert reason in ended.stderr
    assert "the server ends, as the setting exit_on_error says" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_with_exit_on_error_a_server_whose_models_load_goes_on_when_a_later_one_fails(
    repository: Path, tmp_path: Path
) -> None:
    with server_process(repository, tmp_path / "state", "--exit-on-error") as server:
        publish(repository, "broken", 1, b"not a graph")
        async with aiohttp.ClientSession() as session:

            async def failed() -> bool:
                async with session.post(f"{server.http}/v2/repository/index") as answer:
                    return any(row["name"] == "broken" and row.get("reason") for row in await answer.json())

            await until(failed)
        assert server.terminate() == 0


async def test_failures_of_the_start_are_known_by_name(repository: Path, tmp_path: Path) -> None:
    publish(repository, "broken", 1, b"not a graph")
    async with running_server(repository, tmp_path / "state") as server:
        assert list(server.server.lifecycle.failed_at_start) == ["broken"]


@asynccontextmanager
async def strict(repository: Path, tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(repository, tmp_path / "state", strict_readiness=True) as server:
        yield server


async def ready(server: RunningServer) -> tuple[int, bool, int]:
    """By HTTP, by ServerReady, and by gRPC's health check."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.http}/v2/health/ready") as answer,
        grpc.aio.insecure_channel(server.grpc) as channel,
    ):
        ask = channel.unary_unary(
            "/inference.GRPCInferenceService/ServerReady",
            request_serializer=pb.ServerReadyRequest.SerializeToString,
            response_deserializer=pb.ServerReadyResponse.FromString,
        )
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        return (
            answer.status,
            (await ask(pb.ServerReadyRequest())).ready,
            (await check(HealthCheckRequest())).status,
        )


async def test_a_server_is_ready_beside_a_broken_model_unless_readiness_is_strict(
    repository: Path, tmp_path: Path
) -> None:
    publish(repository, "broken", 1, b"not a graph")
    async with running_server(repository, tmp_path / "state") as server:
        assert await ready(server) == (200, True, SERVING)
    async with strict(repository, tmp_path) as server:
        assert await ready(server) == (503, False, NOT_SERVING)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{server.http}/v2/health/ready") as answer,
        ):
            text = (await answer.json())["error"]
        assert text == (
            "the server is not ready: model 'broken' does not serve (settings ready_models, strict_readiness)"
        )
        publish(repository, "broken", 1, add_one())
        await server.ready("broken")
        assert await ready(server) == (200, True, SERVING)


async def test_strictly_a_model_that_fails_later_counts_and_one_that_still_serves_does_not(
    repository: Path, tmp_path: Path
) -> None:
    async with strict(repository, tmp_path) as server:
        publish(repository, "good", 2, b"not a graph")
        await server.reason("good", 2)
        assert await ready(server) == (200, True, SERVING)
        publish(repository, "broken", 1, b"not a graph")
        await server.reason("broken", 1)
        assert await ready(server) == (503, False, NOT_SERVING)


async def test_strictly_a_model_that_was_unloaded_by_name_does_not_count(
    repository: Path, tmp_path: Path
) -> None:
    async with strict(repository, tmp_path) as server:
        await server.server.lifecycle.unload("good")
        assert await ready(server) == (200, True, SERVING)


async def test_whoever_watches_grpcs_health_hears_of_a_model_that_is_missing(
    repository: Path, tmp_path: Path
) -> None:
    async with strict(repository, tmp_path) as server, grpc.aio.insecure_channel(server.grpc) as channel:
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        heard = watch(HealthCheckRequest())
        async with asyncio.timeout(30):
            first: Any = await heard.read()
            publish(repository, "broken", 1, b"not a graph")
            then: Any = await heard.read()
        assert (first.status, then.status) == (SERVING, NOT_SERVING)
        heard.cancel()
