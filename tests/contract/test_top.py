"""`onnxd top`, and the SDK's `watch`, against a running server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np
import pytest
import pytest_asyncio
from click.testing import CliRunner

from onnxd.cli.main import cli
from onnxd_client import AsyncClient, Client, ConnectFailed, InvalidRequest
from tests.support.graphs import identity
from tests.support.server import RunningServer, publish, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("top")
    publish(root / "models", "one", 1, identity(), "max_batch_size: 8\n")
    publish(root / "models", "broken", 1, b"nothing")
    async with running_server(root / "models", root / "state") as running:
        yield running


async def test_it_lists_every_version_with_what_it_does(server: RunningServer) -> None:
    async with AsyncClient(server.http) as client:
        await client.infer("one", {"x": np.ones((2, 4), np.float32)})
    shown = await asyncio.to_thread(CliRunner().invoke, cli, ["top", "--once", "--url", server.http])
    assert shown.exit_code == 0, shown.output
    lines = {line.split()[0]: line.split() for line in shown.output.splitlines() if line.strip()}
    assert lines["MODEL"][:3] == ["MODEL", "VERSION", "STATE"]
    assert lines["one"][1:4] == ["1", "READY", "0/s"]
    assert lines["broken"][1:] == ["1", "UNAVAILABLE"]


async def test_over_grpc_it_says_what_to_do(server: RunningServer) -> None:
    shown = await asyncio.to_thread(CliRunner().invoke, cli, ["top", "--url", f"grpc://{server.grpc}"])
    assert shown.exit_code == 1
    assert "use an http:// address" in shown.output


async def test_the_sdk_tells_moments_until_one_has_seen_enough(server: RunningServer) -> None:
    def watched() -> tuple[float, list[str]]:
        with Client(server.http) as client:
            moment = next(client.watch())
            return moment.bounds["rows"][0], sorted(model["name"] for model in moment.models)

    assert await asyncio.to_thread(watched) == (1, ["broken", "one"])


async def test_the_asynchronous_sdk_tells_them_too(server: RunningServer) -> None:
    async with AsyncClient(server.http) as client, aclosing(client.watch()) as moments:
        moment = await anext(moments)
    assert sorted(model["name"] for model in moment.models) == ["broken", "one"]


async def test_the_sdk_says_when_nobody_is_there() -> None:
    def watched() -> None:
        with Client("http://127.0.0.1:1") as client:
            next(client.watch())

    with pytest.raises(ConnectFailed):
        await asyncio.to_thread(watched)
    with pytest.raises(InvalidRequest), Client("grpc://127.0.0.1:1") as client:
        next(client.watch())
