"""Adapters for our own clients."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import onnxd_client as sdk
from tests.contract.wire_client import (
    Config,
    IndexEntry,
    Kind,
    Metadata,
    Refused,
    Reply,
    Request,
    ServerInfo,
    Statistics,
    TensorInfo,
)

Call = Callable[..., Awaitable[Any]]
"""Calls a method of the client by its dotted name: awaited, or in a thread."""

_KINDS: Final[dict[type[sdk.ServerError], Kind]] = {
    sdk.InvalidRequest: Kind.INVALID,
    sdk.NotFound: Kind.NOT_FOUND,
    sdk.PermissionDenied: Kind.FORBIDDEN,
    sdk.TooLarge: Kind.TOO_LARGE,
    sdk.Unavailable: Kind.UNAVAILABLE,
    sdk.ServerFault: Kind.FAULT,
}


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except sdk.ServerError as error:
        raise Refused(_KINDS[type(error)], error.message) from error


class Sdk:
    """Client and AsyncClient: the same methods, called in two ways."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def live(self) -> bool:
        return bool(await self._call("live"))

    async def ready(self) -> bool:
        return bool(await self._call("ready"))

    async def model_ready(self, model: str, version: str = "") -> bool:
        return bool(await self._call("model_ready", model, version or None))

    async def server(self) -> ServerInfo:
        server: sdk.ServerMetadata = await self._ask("server")
        return ServerInfo(server.name, server.version, frozenset(server.extensions))

    async def metadata(self, model: str, version: str = "") -> Metadata:
        found: sdk.ModelMetadata = await self._ask("metadata", model, version or None)
        return Metadata(
            found.name, found.versions, found.platform, _tensors(found.inputs), _tensors(found.outputs)
        )

    async def config(self, model: str, version: str = "") -> Config:
        return Config.of(await self._ask("config", model, version or None))

    async def statistics(self, model: str = "", version: str = "") -> list[Statistics]:
        return list(map(Statistics.of, await self._ask("statistics", model, version or None)))

    async def index(self) -> list[IndexEntry]:
        entries: tuple[sdk.IndexEntry, ...] = await self._ask("repository.index")
        return [IndexEntry(entry.name, entry.version, entry.state, entry.reason) for entry in entries]

    async def load(self, model: str) -> None:
        await self._ask("repository.load", model)

    async def unload(self, model: str) -> None:
        await self._ask("repository.unload", model)

    async def infer(self, model: str, request: Request) -> Reply:
        result: sdk.InferResult = await self._ask(
            "infer",
            model,
            request.inputs,
            version=request.version or None,
            id=request.id,
            outputs=request.outputs or None,
            classes=request.classes or None,
        )
        return Reply(result.model_name, result.model_version, result.id, dict(result.outputs))

    async def _ask(self, method: str, *arguments: Any, **more: Any) -> Any:
        with _refusals():
            return await self._call(method, *arguments, **more)


def _tensors(tensors: tuple[sdk.TensorMetadata, ...]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors)


def _method(client: object, name: str) -> Callable[..., Any]:
    found: Any = client
    for part in name.split("."):
        found = getattr(found, part)
    method: Callable[..., Any] = found
    return method


@asynccontextmanager
async def blocking_sdk(url: str) -> AsyncIterator[Sdk]:
    """Client, called from a thread."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread, sdk.Client(url, retry=sdk.RetryPolicy(max_tries=1)) as client:

        async def call(method: str, *arguments: Any, **more: Any) -> Any:
            return await loop.run_in_executor(thread, lambda: _method(client, method)(*arguments, **more))

        yield Sdk(call)


@asynccontextmanager
async def async_sdk(url: str) -> AsyncIterator[Sdk]:
    """AsyncClient."""
    async with sdk.AsyncClient(url, retry=sdk.RetryPolicy(max_tries=1)) as client:

        async def call(method: str, *arguments: Any, **more: Any) -> Any:
            return await _method(client, method)(*arguments, **more)

        yield Sdk(call)
