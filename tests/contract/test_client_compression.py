"""tritonclient with its compression switched on: the answers stay the same."""

import asyncio
import gzip
import json
import zlib
from typing import Any, Final

import numpy as np
import pytest
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http_sync
import tritonclient.http.aio as http_aio

from tests.contract.http_cases import document
from tests.support.raw_http import connect, request_bytes
from tests.support.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS = ("free",)

SENT: Final = np.arange(4096, dtype=np.float32)
ALGORITHMS: Final = ("gzip", "deflate")


def arguments(module: Any) -> tuple[Any, ...]:
    tensor = module.InferInput("x", [4096], "FP32")
    tensor.set_data_from_numpy(SENT)
    return "free", [tensor]


def assert_answered(result: Any) -> None:
    np.testing.assert_array_equal(result.as_numpy("y"), SENT + 1)


@pytest.mark.parametrize("answered", [*ALGORITHMS, None])
@pytest.mark.parametrize("sent", [*ALGORITHMS, None])
async def test_over_http(server: RunningServer, sent: str | None, answered: str | None) -> None:
    more = {"request_compression_algorithm": sent, "response_compression_algorithm": answered}

    def ask_blocking() -> Any:
        with http_sync.InferenceServerClient(server.http.removeprefix("http://")) as client:
            return client.infer(*arguments(http_sync), **more)

    assert_answered(await asyncio.to_thread(ask_blocking))
    async with http_aio.InferenceServerClient(server.http.removeprefix("http://")) as client:
        assert_answered(await client.infer(*arguments(http_aio), **more))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_over_grpc(server: RunningServer, algorithm: str) -> None:
    async with grpc_aio.InferenceServerClient(server.grpc) as client:
        assert_answered(await client.infer(*arguments(grpc_aio), compression_algorithm=algorithm))


@pytest.mark.parametrize(("algorithm", "expand"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
async def test_an_answer_is_compressed_when_asked_for_and_an_error_never(
    server: RunningServer, algorithm: str, expand: Any
) -> None:
    async with connect(int(server.http.rpartition(":")[2])) as connection:
        for model, status in (("free", 200), ("nothing", 404)):
            body = json.dumps(document()).encode()
            path = f"/v2/models/{model}/infer"
            await connection.send(request_bytes("POST", path, body, {"Accept-Encoding": algorithm}))
            answer = await connection.answer()
            assert answer.status == status
            if status == 200:
                assert answer.headers["content-encoding"] == algorithm
                assert json.loads(expand(answer.body))["outputs"][0]["data"] == [2.0, 3.0]
            else:
                assert "nothing" in answer.error
