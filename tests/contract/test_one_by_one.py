"""Requests that come one by one, and then together, over both protocols: each has its own answer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc.aio as triton_grpc
import tritonclient.http.aio as triton_http

from onnxd.scheduler.company import LONE_TURNS
from tests.support.graphs import add_one
from tests.support.server import RunningServer, publish, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALONE = 3 * LONE_TURNS
TOGETHER = 32


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("one-by-one")
    for model in ("http", "grpc"):
        publish(root / "models", model, 1, add_one(("batch", 4)), "max_batch_size: 8\n")
    async with running_server(root / "models", root / "state") as running:
        yield running


@pytest.mark.parametrize("wire", ["http", "grpc"])
async def test_each_has_its_own_answer_whether_it_comes_alone_or_in_company(
    server: RunningServer, wire: str
) -> None:
    kind: Any = triton_http if wire == "http" else triton_grpc
    address = server.http.removeprefix("http://") if wire == "http" else server.grpc
    async with kind.InferenceServerClient(address) as client:

        async def ask(value: int) -> None:
            rows = np.full((1, 4), value, np.float32)
            tensor = kind.InferInput("x", rows.shape, "FP32")
            tensor.set_data_from_numpy(rows)
            answer = (await client.infer(wire, [tensor])).as_numpy("y")
            np.testing.assert_array_equal(answer, rows + 1)

        for _ in range(2):
            for value in range(ALONE):
                await ask(value)
            await asyncio.gather(*map(ask, range(TOGETHER)))
    (served,) = server.server.inference.serving(wire, None)
    counted = served.statistics.snapshot()
    assert counted.success.count == counted.inference_count == 2 * (ALONE + TOGETHER)
    assert (served.batcher.waiting_requests, served.batcher.running, served.leases) == (0, 0, 0)
