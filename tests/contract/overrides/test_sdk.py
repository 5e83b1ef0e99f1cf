"""The SDK brings a config and files with a load, blocking and not, over both protocols."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from onnxd_client import AsyncClient, Client
from onnxd_client.errors import InvalidRequest
from tests.support.graphs import row_constant
from tests.support.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS: Final[dict[str, Any]] = {"model_overrides": True}

Url = Callable[[RunningServer], str]
OVER: Final = pytest.mark.parametrize(
    "url", [lambda server: server.http, lambda server: f"grpc://{server.grpc}"], ids=["HTTP", "gRPC"]
)
ROW: Final = np.zeros((1, 4), np.float32)


@OVER
async def test_the_blocking_client_brings_a_model(server: RunningServer, url: Url) -> None:
    def bring() -> tuple[int, float]:
        with Client(url(server)) as client:
            files = {"1/model.onnx": row_constant(7)}
            client.repository.load("brought", config={"max_batch_size": 4}, files=files)
            answer = client.infer("brought", {"x": ROW})
            return client.config("brought")["max_batch_size"], float(answer["y"].flat[0])

    assert await asyncio.to_thread(bring) == (4, 7.0)


@OVER
async def test_the_asynchronous_client_brings_a_config(server: RunningServer, url: Url) -> None:
    async with AsyncClient(url(server)) as client:
        await client.repository.load("one", config={"max_batch_size": 4})
        assert (await client.config("one"))["max_batch_size"] == 4
        await client.repository.load("one")
        assert (await client.config("one"))["max_batch_size"] == 8


@OVER
async def test_what_is_wrong_with_what_is_brought_is_told(server: RunningServer, url: Url) -> None:
    async with AsyncClient(url(server)) as client:
        with pytest.raises(InvalidRequest, match="not an ONNX model"):
            await client.repository.load("brought-bad", files={"1/model.onnx": b"nothing"})
