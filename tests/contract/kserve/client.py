"""KServe's own clients, each asked everything once, and what they made of the answers, as JSON.

    python client.py http://HOST:PORT HOST:PORT [MODEL]

With a MODEL only that one is asked for. A program, as `kserve` registers protobuf names that tritonclient
registers as well: one process cannot have both.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
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
    [output] = result.outputs
    shown = [output.name, output.datatype, list(output.shape), values(output)]
    return {"id": result.id, "model_name": result.model_name, "output": shown}


def values(output: Any) -> list[Any]:
    flat: list[Any] = output.as_numpy().reshape(-1).tolist()
    return [value.decode() if isinstance(value, bytes) else value for value in flat]


async def over_http(url: str) -> Document:
    all_binary: Document = {"parameters": {"binary_data_output": True}}
    one_binary = {"request_outputs": [RequestedOutput("y", {"binary_data": True})]}
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:

        def infer(model: str, array: Any, *, binary: bool, **more: Any) -> Ask:
            return lambda: client.infer(url, request(model, array, binary=binary, **more), model_name=model)

        return await asked(
            {
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
        )


async def over_grpc(address: str) -> Document:
    typed = InferRequest("rows", [InferInput("x", [1, 4], "FP32", [1.0, 2.0, 3.0, 4.0])], "seven")
    typed_text = InferRequest("text", [InferInput("x", [2], "BYTES", ["hällo", ""])], "seven")
    leaving = pb.RepositoryModelUnloadRequest(model_name="comes_and_goes")
    coming = pb.RepositoryModelLoadRequest(model_name="comes_and_goes")
    async with InferenceGRPCClient(address) as client:
        stub = client._client_stub  # the client has no calls of its own for these two
        return await asked(
            {
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
                "unload": lambda: stub.RepositoryModelUnload(leaving),
                "load": lambda: stub.RepositoryModelLoad(coming),
            }
        )


async def one_model(url: str, address: str, model: str) -> Document:
    """As over_http and over_grpc, of one model that takes ROW."""
    in_json = request(model, ROW, binary=False)
    in_bytes = request(model, ROW, binary=True)
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as rest, InferenceGRPCClient(address) as rpc:
        return {
            "HTTP": await asked(
                {
                    "ready": lambda: rest.is_model_ready(url, model),
                    "infer": lambda: rest.infer(url, in_json, model_name=model),
                }
            ),
            "gRPC": await asked(
                {"ready": lambda: rpc.is_model_ready(model), "infer": lambda: rpc.infer(in_bytes)}
            ),
        }


async def asked(questions: Mapping[str, Ask]) -> Document:
    """Each in turn."""
    found: Document = {}
    for name, ask in questions.items():
        try:
            found[name] = understood(await ask())
        except httpx.HTTPStatusError as error:
            found[name] = {"status": error.response.status_code, "error": str(error).split(", '")[0]}
        except grpc.aio.AioRpcError as error:
            found[name] = {"status": error.code().name, "error": error.details()}
    return found


async def main(url: str, address: str, model: str = "") -> None:
    if model:
        found = await one_model(url, address, model)
    else:
        found = {"HTTP": await over_http(url), "gRPC": await over_grpc(address)}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
