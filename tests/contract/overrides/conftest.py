"""Servers that take a config and files with a load, and Triton's clients to bring them."""

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from onnxd.protocol.limits import ProtocolLimits
from tests.contract.triton_clients import (
    TritonGrpc,
    TritonHttp,
    triton_grpc_aio,
    triton_http,
    triton_http_aio,
)
from tests.support.graphs import row_constant
from tests.support.server import RunningServer, publish, running_server

Client = TritonHttp | TritonGrpc
MOST_BYTES: Final = 100_000

CLIENTS: Final[dict[str, Callable[[RunningServer], AbstractAsyncContextManager[Client]]]] = {
    "HTTP": lambda server: triton_http(server.http.removeprefix("http://")),
    "HTTP-aio": lambda server: triton_http_aio(server.http.removeprefix("http://")),
    "gRPC": lambda server: triton_grpc_aio(server.grpc),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningServer]:
    """`one` answers 1 in each row, in batches of up to 8. The module's SETTINGS say what is switched on."""
    root = tmp_path_factory.mktemp("overrides")
    publish(root / "models", "one", 1, row_constant(1), "max_batch_size: 8\n")
    settings: dict[str, Any] = {"limits": ProtocolLimits(max_override_bytes=MOST_BYTES)}
    async with running_server(
        root / "models", root / "state", **settings | request.module.SETTINGS
    ) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=CLIENTS.values(), ids=CLIENTS.keys())
async def client(request: pytest.FixtureRequest, server: RunningServer) -> AsyncIterator[Client]:
    async with request.param(server) as connected:
        yield connected


def tree(directory: Path) -> dict[str, str]:
    """Every file under a directory, by its path, with a digest of what it holds; not what goes meanwhile, and
    not what was found out of the contents that were tried."""
    found = {}
    for folder, below, names in os.walk(directory):
        below[:] = [name for name in below if name not in ("verdicts", "trials")]
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                content = Path(folder, name).read_bytes()
                found[os.path.relpath(Path(folder, name), directory)] = digest_of(content)
    return found


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
