"""What no client of Triton's would send with a load: written by hand, over both wires."""

import base64
from typing import Any, Final

import aiohttp
import grpc
import pytest

from onnxd_protos import grpc_service_pb2 as pb
from tests.contract.overrides.conftest import MOST_BYTES
from tests.support.graphs import row_constant
from tests.support.grpc_server import grpc_calls
from tests.support.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS: Final[dict[str, Any]] = {"model_overrides": True}
GRAPH: Final = row_constant(9)
TEXT: Final = base64.b64encode(GRAPH).decode()


async def post(server: RunningServer, parameters: object, path: str = "models/one/load") -> tuple[int, str]:
    url = f"{server.http}/v2/repository/{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json={"parameters": parameters}) as response,
    ):
        return response.status, (await response.json())["error"]


async def load(server: RunningServer, **parameters: pb.ModelRepositoryParameter) -> tuple[str, str]:
    request = pb.RepositoryModelLoadRequest(model_name="one", parameters=parameters)
    async with grpc_calls(server.grpc) as calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls.ask("RepositoryModelLoad", request)
    return caught.value.code().name, caught.value.details() or ""


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("no base64!", id="H10-other-characters"),
        pytest.param(TEXT[:-1], id="H10-cut-short"),
        pytest.param(f" {TEXT}", id="H10-a-space-before"),
        pytest.param(f"{TEXT}\n", id="H10-a-line-break-behind"),
        pytest.param(f"{TEXT[:76]}\r\n{TEXT[76:]}", id="H10-in-lines"),
        pytest.param(f"{TEXT}====", id="H10-padded"),
        pytest.param("é" * 8, id="H10-not-ASCII"),
        pytest.param(TEXT.replace("A", "-"), id="H10-for-URLs"),
    ],
)
async def test_a_file_that_is_not_base64(server: RunningServer, content: str) -> None:
    status, error = await post(server, {"config": "{}", "file:1/model.onnx": content})
    assert status == 400
    assert "load parameter 'file:1/model.onnx': expected base64 without spaces or line breaks" in error


async def test_H10_a_file_beyond_the_limit_is_refused_before_it_is_decoded(server: RunningServer) -> None:
    status, error = await post(server, {"config": "{}", "file:1/model.onnx": "!" * (MOST_BYTES * 2)})
    assert status == 413
    assert "limits.max_override_bytes" in error


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        pytest.param({"config": {}}, "'config': expected text, got an object", id="H4-an-object"),
        pytest.param({"config": None}, "'config': expected text, got null", id="H4-null"),
        pytest.param({"config": True}, "'config': expected text, got true", id="H4-a-truth"),
        pytest.param({"config": "{}", "file:1/model.onnx": 5}, "in base64, got 5", id="H10-a-number"),
        pytest.param({"config": "{}", "file:1/model.onnx": [TEXT]}, "base64, got an array", id="H10-list"),
        pytest.param({"config": "{}", "files": "x"}, "'files' is not known: expected", id="H4-other"),
        pytest.param([], "'parameters' to be an object, got an array", id="H4-a-list-of-parameters"),
    ],
)
async def test_a_parameter_of_another_kind_over_http(
    server: RunningServer, parameters: object, text: str
) -> None:
    status, error = await post(server, parameters)
    assert status == 400
    assert text in error


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        pytest.param(
            {"config": pb.ModelRepositoryParameter(bytes_param=b"{}")},
            "text, got 2 bytes",
            id="H4-bytes",
        ),
        pytest.param({"config": pb.ModelRepositoryParameter()}, "expected text, got null", id="H4-nothing"),
        pytest.param(
            {
                "config": pb.ModelRepositoryParameter(string_param="{}"),
                "file:1/model.onnx": pb.ModelRepositoryParameter(string_param=TEXT),
            },
            "as bytes_param, got '",
            id="H10-text",
        ),
        pytest.param(
            {"other": pb.ModelRepositoryParameter(bool_param=True)},
            "'other' is not known: expected 'config', 'file:",
            id="H4-other",
        ),
    ],
)
async def test_a_parameter_of_another_kind_over_grpc(
    server: RunningServer, parameters: dict[str, pb.ModelRepositoryParameter], text: str
) -> None:
    code, details = await load(server, **parameters)
    assert code == "INVALID_ARGUMENT"
    assert text in details


@pytest.mark.parametrize("ready", ["true", 1, None, [], {}], ids=lambda value: f"H5-{value!r}")
async def test_an_index_of_something_other_than_the_ready(server: RunningServer, ready: object) -> None:
    url = f"{server.http}/v2/repository/index"
    async with aiohttp.ClientSession() as session, session.post(url, json={"ready": ready}) as response:
        assert response.status == 400
        assert "expected 'ready' to be true or false" in (await response.json())["error"]
