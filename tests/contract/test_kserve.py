"""KServe's own clients: what they sent (kserve/exchange.json, recorded) is answered so that they would make
of it what they made then."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any, Final

import grpc.aio
import numpy as np
import pytest

from onnxd.protocol.binary import decode_tensor
from onnxd.tensors import Datatype
from onnxd_protos import grpc_service_pb2 as pb
from tests.contract.kserve.record import EXCHANGE
from tests.contract.kserve.record import MODELS as MODELS
from tests.support.grpc_server import grpc_calls
from tests.support.raw_http import Answer, connect, request_bytes
from tests.support.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

Document = dict[str, Any]

RECORDED: Final[list[Document]] = json.loads(EXCHANGE.read_text())["exchange"]
LENGTH: Final = "inference-header-content-length"
INFLATE: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.decompress, "deflate": zlib.decompress, "identity": bytes,
}  # fmt: skip


def over(wire: str) -> pytest.MarkDecorator:
    chosen = [entry for entry in RECORDED if entry["name"].startswith(wire)]
    return pytest.mark.parametrize("recorded", chosen, ids=lambda entry: entry["name"])


@over("HTTP")
async def test_over_http(server: RunningServer, recorded: Document) -> None:
    body = base64.b64decode(recorded["body"])
    async with connect(server.server.http.port) as connection:
        await connection.send(request_bytes(recorded["method"], recorded["path"], body, recorded["headers"]))
        answer = await connection.answer()
    assert understood_over_http(recorded["path"], answer) == recorded["understood"]


def understood_over_http(path: str, answer: Answer) -> Any:
    """As kserve.InferenceRESTClient reads an answer. httpx inflates it before."""
    if not 200 <= answer.status < 300:
        assert answer.headers["content-type"] == "application/json"  # or it looks for no error in it
        return {"status": answer.status, "error": answer.json()["error"]}
    if path.startswith("/v2/health/"):
        return answer.json().get(path.rpartition("/")[2])
    if path.endswith("/ready"):
        return True
    body = INFLATE[answer.headers.get("content-encoding", "identity")](answer.body)
    end = int(answer.headers.get(LENGTH, len(body)))
    document = json.loads(body[:end])
    outputs = []
    for output in document["outputs"]:
        data = output.get("data")
        if data is None:
            start, end = end, end + output["parameters"]["binary_data_size"]
            data = from_bytes(output["datatype"], output["shape"], body[start:end])
        outputs.append({key: output[key] for key in ("name", "datatype", "shape")} | {"data": data})
    return {"id": document["id"], "model_name": document["model_name"], "outputs": outputs}


def from_bytes(datatype: str, shape: list[int], data: bytes) -> list[Any]:
    values: list[Any] = np.ravel(decode_tensor("y", Datatype(datatype), shape, data)).tolist()
    return values


@over("gRPC")
async def test_over_grpc(server: RunningServer, recorded: Document) -> None:
    async with grpc_calls(server.grpc) as calls:
        ask: Any = calls.channel.unary_unary(recorded["path"])
        try:
            answer = await ask(base64.b64decode(recorded["body"]))
        except grpc.aio.AioRpcError as error:
            found: Any = {"status": error.code().name, "error": error.details()}
        else:
            found = understood_over_grpc(recorded["path"].rpartition("/")[2], answer)
    assert found == recorded["understood"]


def understood_over_grpc(method: str, data: bytes) -> Any:
    """As kserve.InferenceGRPCClient and its messages read an answer."""
    match method:
        case "ServerLive":
            return pb.ServerLiveResponse.FromString(data).live
        case "ServerReady":
            return pb.ServerReadyResponse.FromString(data).ready
        case "ModelReady":
            return pb.ModelReadyResponse.FromString(data).ready
        case "RepositoryModelLoad" | "RepositoryModelUnload":
            # Its answers have the fields of this message of ours, under other names.
            read = pb.RepositoryIndexRequest.FromString(data)
            done = "isLoaded" if method == "RepositoryModelLoad" else "isUnloaded"
            return {"model_name": read.repository_name, done: read.ready}
        case _:
            answer = pb.ModelInferResponse.FromString(data)
            outputs = [
                {
                    "name": output.name,
                    "datatype": output.datatype,
                    "shape": list(output.shape),
                    "data": from_bytes(output.datatype, list(output.shape), raw),
                }
                for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
            ]
            return {"id": answer.id, "model_name": answer.model_name, "outputs": outputs}


async def test_the_recording_covers_what_is_promised() -> None:
    names = {entry["name"] for entry in RECORDED}
    for wire in ("HTTP", "gRPC"):
        for question in ("server live", "server ready", "model ready", "infer in bytes", "infer FP16"):
            assert f"{wire}: {question}" in names
    assert {"HTTP: infer in JSON", "gRPC: infer in typed contents", "gRPC: load", "gRPC: unload"} <= names
