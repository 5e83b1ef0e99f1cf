"""Adapters for tritonclient, as it comes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar

import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http_sync
import tritonclient.http.aio as http_aio
from google.protobuf.json_format import MessageToDict
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.contract.wire_client import (
    Array,
    Config,
    Document,
    IndexEntry,
    Kind,
    Metadata,
    Refused,
    Reply,
    Request,
    ServerInfo,
    Statistics,
    as_bytes,
)

T = TypeVar("T")
Call = Callable[..., Awaitable[Any]]
"""Calls a method of the client by its name, as the client is called: awaited, or in its thread."""

_KINDS: Final = {
    "400": Kind.INVALID,
    "403": Kind.FORBIDDEN,
    "404": Kind.NOT_FOUND,
    "413": Kind.TOO_LARGE,
    "429": Kind.TOO_LARGE,
    "503": Kind.UNAVAILABLE,
    "500": Kind.FAULT,
    "StatusCode.INVALID_ARGUMENT": Kind.INVALID,
    "StatusCode.PERMISSION_DENIED": Kind.FORBIDDEN,
    "StatusCode.NOT_FOUND": Kind.NOT_FOUND,
    "StatusCode.RESOURCE_EXHAUSTED": Kind.TOO_LARGE,
    "StatusCode.UNAVAILABLE": Kind.UNAVAILABLE,
    "StatusCode.INTERNAL": Kind.FAULT,
}
_HALVES: Final = ("FP16", "BF16")


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except InferenceServerException as error:
        raise Refused(_KINDS[error.status()], error.message()) from error


class TritonHttp:
    """tritonclient.http and tritonclient.http.aio: the same methods, called in two ways."""

    def __init__(self, module: Any, call: Call, *, json: bool) -> None:
        self._module = module
        self._call = call
        self._json = json

    async def live(self) -> bool:
        return bool(await self._call("is_server_live"))

    async def ready(self) -> bool:
        return bool(await self._call("is_server_ready"))

    async def model_ready(self, model: str, version: str = "") -> bool:
        return bool(await self._call("is_model_ready", model, version))

    async def server(self) -> ServerInfo:
        document = await self._ask("get_server_metadata")
        return ServerInfo(document["name"], document["version"], frozenset(document["extensions"]))

    async def metadata(self, model: str, version: str = "") -> Metadata:
        return Metadata.of(await self._ask("get_model_metadata", model, version))

    async def config(self, model: str, version: str = "") -> Config:
        return Config.of(await self._ask("get_model_config", model, version))

    async def statistics(self, model: str = "", version: str = "") -> list[Statistics]:
        document = await self._ask("get_inference_statistics", model, version)
        return list(map(Statistics.of, document["model_stats"]))

    async def index(self) -> list[IndexEntry]:
        return list(map(IndexEntry.of, await self._ask("get_model_repository_index")))

    async def load(
        self, model: str, config: str | None = None, files: Mapping[str, bytes] | None = None
    ) -> None:
        await self._ask("load_model", model, config=config, files=files)

    async def unload(self, model: str) -> None:
        await self._ask("unload_model", model)

    async def infer(self, model: str, request: Request) -> Reply:
        inputs = [self._input(name, array) for name, array in request.inputs.items()]
        outputs = await self._outputs(model, request)
        more = {"model_version": request.version, "request_id": request.id, "outputs": outputs}
        result = await self._ask("infer", model, inputs, **more)
        answer = result.get_response()
        arrays = {output["name"]: as_bytes(result.as_numpy(output["name"])) for output in answer["outputs"]}
        return Reply(answer["model_name"], answer["model_version"], answer.get("id", ""), arrays)

    def _input(self, name: str, array: Array) -> Any:
        datatype = np_to_triton_dtype(array.dtype)
        tensor = self._module.InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=not self._json or datatype in _HALVES)
        return tensor

    async def _outputs(self, model: str, request: Request) -> list[Any] | None:
        names: tuple[str, ...] = (*request.outputs, *request.classes)
        if not self._json:
            return [self._output(name, request, binary=True) for name in names] or None
        # Without a list this client asks for everything as bytes.
        document = await self._ask("get_model_metadata", model, request.version)
        datatypes = {output["name"]: output["datatype"] for output in document["outputs"]}
        return [
            self._output(name, request, binary=datatypes.get(name) in _HALVES) for name in names or datatypes
        ]

    def _output(self, name: str, request: Request, *, binary: bool) -> Any:
        return self._module.InferRequestedOutput(
            name, binary_data=binary, class_count=request.classes.get(name, 0)
        )

    async def _ask(self, method: str, *arguments: Any, **more: Any) -> Any:
        with _refusals():
            return await self._call(method, *arguments, **more)


class TritonGrpc:
    """tritonclient.grpc.aio."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def live(self) -> bool:
        return bool(await self._client.is_server_live())

    async def ready(self) -> bool:
        return bool(await self._client.is_server_ready())

    async def model_ready(self, model: str, version: str = "") -> bool:
        return bool(await self._client.is_model_ready(model, version))

    async def server(self) -> ServerInfo:
        with _refusals():
            message = await self._client.get_server_metadata()
        return ServerInfo(message.name, message.version, frozenset(message.extensions))

    async def metadata(self, model: str, version: str = "") -> Metadata:
        with _refusals():
            return Metadata.of(_document(await self._client.get_model_metadata(model, version)))

    async def config(self, model: str, version: str = "") -> Config:
        with _refusals():
            return Config.of(_document(await self._client.get_model_config(model, version))["config"])

    async def statistics(self, model: str = "", version: str = "") -> list[Statistics]:
        with _refusals():
            message = await self._client.get_inference_statistics(model, version)
        return list(map(Statistics.of, _document(message)["model_stats"]))

    async def index(self) -> list[IndexEntry]:
        with _refusals():
            message = await self._client.get_model_repository_index()
        return list(map(IndexEntry.of, _document(message)["models"]))

    async def load(
        self, model: str, config: str | None = None, files: Mapping[str, bytes] | None = None
    ) -> None:
        with _refusals():
            await self._client.load_model(model, config=config, files=files)

    async def unload(self, model: str) -> None:
        with _refusals():
            await self._client.unload_model(model)

    async def infer(self, model: str, request: Request) -> Reply:
        inputs = []
        for name, array in request.inputs.items():
            inputs.append(grpc_aio.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
            inputs[-1].set_data_from_numpy(array)
        outputs = [
            grpc_aio.InferRequestedOutput(name, request.classes.get(name, 0))
            for name in (*request.outputs, *request.classes)
        ]
        with _refusals():
            result = await self._client.infer(
                model,
                inputs,
                model_version=request.version,
                outputs=outputs or None,
                request_id=request.id,
            )
        answer = result.get_response()
        arrays = {output.name: as_bytes(result.as_numpy(output.name)) for output in answer.outputs}
        return Reply(answer.model_name, answer.model_version, answer.id, arrays)


def _document(message: Any) -> Document:
    document: Document = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return document


@asynccontextmanager
async def triton_http(address: str) -> AsyncIterator[TritonHttp]:
    """The blocking client, all in one thread of its own, as its documentation asks."""
    async with _in_a_thread(address) as call:
        yield TritonHttp(http_sync, call, json=False)


@asynccontextmanager
async def triton_http_json(address: str) -> AsyncIterator[TritonHttp]:
    """The blocking client, sending and receiving JSON wherever the protocol can."""
    async with _in_a_thread(address) as call:
        yield TritonHttp(http_sync, call, json=True)


@asynccontextmanager
async def triton_http_aio(address: str) -> AsyncIterator[TritonHttp]:
    """The client for asyncio. It accepts compressed answers on every call."""
    async with http_aio.InferenceServerClient(address) as client:

        async def call(method: str, *arguments: Any, **more: Any) -> Any:
            return await getattr(client, method)(*arguments, **more)

        yield TritonHttp(http_aio, call, json=False)


@asynccontextmanager
async def triton_grpc_aio(address: str) -> AsyncIterator[TritonGrpc]:
    """The client for asyncio."""
    async with grpc_aio.InferenceServerClient(address) as client:
        yield TritonGrpc(client)


@asynccontextmanager
async def _in_a_thread(address: str) -> AsyncIterator[Call]:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:
        client = await loop.run_in_executor(thread, http_sync.InferenceServerClient, address)

        async def call(method: str, *arguments: Any, **more: Any) -> Any:
            return await loop.run_in_executor(thread, lambda: getattr(client, method)(*arguments, **more))

        try:
            yield call
        finally:
            await call("close")
