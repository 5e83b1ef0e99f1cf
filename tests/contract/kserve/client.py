"""KServe's own clients, each asked everything once: what they sent and what they made of the answers.

    python client.py http://HOST:PORT HOST:PORT

Runs where `kserve` is installed, which is not here: it brings some sixty packages, and registers protobuf
names that tritonclient registers as well. record.py calls it.
"""

import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.infer_type import RequestedOutput

Document = dict[str, Any]
Ask = Callable[[], Awaitable[Any]]

ROW: Final = np.array([[1, 2, 3, 4]], np.float32)
HALVES: Final = np.array([0.1, -2, 65504], np.float16)
WORDS: Final = np.array(["hällo", "", "a,b"], object)
SERVICE: Final = "/inference.GRPCInferenceService/"


class Recorder(httpx.AsyncHTTPTransport):
    """Keeps every request, and sends it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Document] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        left_out = ("host", "content-length", "connection")
        headers = {name: value for name, value in request.headers.items() if name not in left_out}
        body = base64.b64encode(await request.aread()).decode()
        self.sent.append(
            {
                "method": request.method,
                "path": request.url.raw_path.decode(),
                "headers": headers,
                "body": body,
            }
        )
        return await super().handle_async_request(request)


def tensor(name: str, array: Any, *, binary: bool) -> InferInput:
    datatype = {"f4": "FP32", "f2": "FP16"}.get(array.dtype.str[1:], "BYTES")
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def request(model: str, array: Any, *, binary: bool, **more: Any) -> InferRequest:
    return InferRequest(model, [tensor("x", array, binary=binary)], request_id="seven", **more)


def understood(result: Any) -> Any:
    """What the client made of an answer, as JSON has it."""
    if isinstance(result, bool):
        return result
    if isinstance(result, pb.RepositoryModelLoadResponse):
        return {"model_name": result.model_name, "isLoaded": result.isLoaded}
    if isinstance(result, pb.RepositoryModelUnloadResponse):
        return {"model_name": result.model_name, "isUnloaded": result.isUnloaded}
    outputs = [
        {
            "name": output.name,
            "datatype": output.datatype,
            "shape": list(output.shape),
            "data": values(output),
        }
        for output in result.outputs
    ]
    return {"id": result.id, "model_name": result.model_name, "outputs": outputs}


def values(output: Any) -> list[Any]:
    flat: list[Any] = output.as_numpy().reshape(-1).tolist()
    return [value.decode() if isinstance(value, bytes) else value for value in flat]


async def over_http(url: str) -> list[Document]:
    recorder = Recorder()
    client = InferenceRESTClient(RESTConfig(transport=recorder, protocol="v2"))
    all_binary: Document = {"parameters": {"binary_data_output": True}}
    one_binary = {"request_outputs": [RequestedOutput("y", {"binary_data": True})]}

    def infer(model: str, array: Any, *, binary: bool, **more: Any) -> Ask:
        return lambda: client.infer(url, request(model, array, binary=binary, **more), model_name=model)

    questions: dict[str, Ask] = {
        "server live": lambda: client.is_server_live(url),
        "server ready": lambda: client.is_server_ready(url),
        "model ready": lambda: client.is_model_ready(url, "rows"),
        "infer in JSON": infer("rows", ROW, binary=False),
        "infer text in JSON": infer("text", WORDS, binary=False),
        "infer in bytes": infer("rows", ROW, binary=True, **all_binary),
        "infer in bytes, one output in bytes": infer("rows", ROW, binary=True, **one_binary),
        "infer in bytes, answered in JSON": infer("rows", ROW, binary=True),
        "infer text in bytes": infer("text", WORDS, binary=True, **all_binary),
        "infer FP16": infer("half", HALVES, binary=True, **all_binary),
        "infer an unknown model": infer("nobody", ROW, binary=False),
    }
    found = []
    for name, ask in questions.items():
        try:
            result = understood(await ask())
        except httpx.HTTPStatusError as error:
            result = {"status": error.response.status_code, "error": str(error).split(", '")[0]}
        found.append({"name": f"HTTP: {name}", **recorder.sent.pop(), "understood": result})
    await client.close()
    return found


async def over_grpc(address: str) -> list[Document]:
    client = InferenceGRPCClient(address)
    stub = client._client_stub
    sent: list[Document] = []

    def recorded(name: str, call: Any) -> Any:
        def ask(message: Any = None, **options: Any) -> Any:
            message = options.pop("request", message)
            sent.append(
                {"path": SERVICE + name, "body": base64.b64encode(message.SerializeToString()).decode()}
            )
            return call(message, **options)

        return ask

    for name in ("ServerLive", "ServerReady", "ModelReady", "ModelInfer", "RepositoryModelLoad",
                 "RepositoryModelUnload"):  # fmt: skip
        setattr(stub, name, recorded(name, getattr(stub, name)))
    typed = InferRequest("rows", [InferInput("x", [1, 4], "FP32", [1.0, 2.0, 3.0, 4.0])], "seven")
    typed_text = InferRequest("text", [InferInput("x", [2], "BYTES", ["hällo", ""])], "seven")
    questions: dict[str, Ask] = {
        "server live": client.is_server_live,
        "server ready": client.is_server_ready,
        "model ready": lambda: client.is_model_ready("rows"),
        "an unknown model ready": lambda: client.is_model_ready("nobody"),
        "infer in typed contents": lambda: client.infer(typed),
        "infer text in typed contents": lambda: client.infer(typed_text),
        "infer in bytes": lambda: client.infer(request("rows", ROW, binary=True)),
        "infer text in bytes": lambda: client.infer(request("text", WORDS, binary=True)),
        "infer FP16": lambda: client.infer(request("half", HALVES, binary=True)),
        "infer an unknown model": lambda: client.infer(request("nobody", ROW, binary=True)),
        "unload": lambda: stub.RepositoryModelUnload(
            pb.RepositoryModelUnloadRequest(model_name="comes_and_goes")
        ),
        "load": lambda: stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="comes_and_goes")),
    }
    found = []
    for name, ask in questions.items():
        try:
            result = understood(await ask())
        except grpc.aio.AioRpcError as error:
            result = {"status": error.code().name, "error": error.details()}
        found.append({"name": f"gRPC: {name}", **sent.pop(), "understood": result})
    await client.close()
    return found


async def main(url: str, address: str) -> None:
    exchange = await over_http(url) + await over_grpc(address)
    json.dump(exchange, sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
