"""One server for each module of this folder, with models of stand.py, and every client of it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import pytest
import pytest_asyncio

from tests.contract.sdk_clients import async_sdk, blocking_sdk
from tests.contract.stand import fill, settle
from tests.contract.triton_clients import triton_grpc_aio, triton_http, triton_http_aio, triton_http_json
from tests.contract.wire_client import WireClient
from tests.support.server import RunningServer, running_server

Connect = Callable[[RunningServer], AbstractAsyncContextManager[WireClient]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningServer]:
    """The whole server, in this process, with the models that the module names in MODELS."""
    root = tmp_path_factory.mktemp("contract")
    (root / "models").mkdir()
    fill(root / "models", request.module.MODELS)
    async with running_server(root / "models", root / "state") as running:
        await settle(running)
        yield running


def _host(server: RunningServer) -> str:
    return server.http.removeprefix("http://")


CLIENTS: Final[dict[str, Connect]] = {
    "tritonclient.http": lambda server: triton_http(_host(server)),
    "tritonclient.http-in-JSON": lambda server: triton_http_json(_host(server)),
    "tritonclient.http.aio": lambda server: triton_http_aio(_host(server)),
    "tritonclient.grpc.aio": lambda server: triton_grpc_aio(server.grpc),
    "onnxd_client-over-HTTP": lambda server: blocking_sdk(server.http),
    "onnxd_client-over-gRPC": lambda server: blocking_sdk(f"grpc://{server.grpc}"),
    "onnxd_client-async-over-HTTP": lambda server: async_sdk(server.http),
    "onnxd_client-async-over-gRPC": lambda server: async_sdk(f"grpc://{server.grpc}"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=CLIENTS.values(), ids=CLIENTS.keys())
async def client(request: pytest.FixtureRequest, server: RunningServer) -> AsyncIterator[WireClient]:
    """Each client in turn, connected to the server."""
    connect: Connect = request.param
    async with connect(server) as connected:
        yield connected
