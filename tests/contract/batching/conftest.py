"""A server for each module of this folder, and tritonclient over both protocols."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http.aio as http_aio

from tests.contract.batching.stand import Client, fill
from tests.support.server import RunningServer, running_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("batching")
    fill(root / "models")
    async with running_server(root / "models", root / "state") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["HTTP", "gRPC"])
async def client(request: pytest.FixtureRequest, server: RunningServer) -> AsyncIterator[Client]:
    if request.param == "HTTP":
        async with http_aio.InferenceServerClient(server.http.removeprefix("http://")) as http:
            yield Client(http_aio, http)
    else:
        async with grpc_aio.InferenceServerClient(server.grpc) as grpc:
            yield Client(grpc_aio, grpc)
