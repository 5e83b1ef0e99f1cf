"""tritonclient's trace and log settings, all four of its clients behind one face."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Final

import tritonclient.grpc as grpc_sync
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http_sync
import tritonclient.http.aio as http_aio
from tritonclient.utils import InferenceServerException

Settings = dict[str, Any]
Call = Callable[..., Awaitable[Any]]

_CODES: Final = {
    "StatusCode.INVALID_ARGUMENT": "400",
    "StatusCode.PERMISSION_DENIED": "403",
    "StatusCode.NOT_FOUND": "404",
    "StatusCode.UNIMPLEMENTED": "501",
}


class Refused(Exception):
    """The server's refusal, with HTTP's status whichever protocol it came over."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = _CODES.get(status, status)
        self.message = message


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except InferenceServerException as error:
        raise Refused(error.status(), error.message()) from error


class SettingClient:
    """One client. Trace settings are lists of texts, as gRPC has them; log settings are plain values."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def trace(self, model: str = "") -> Settings:
        return _lists(await self._ask("get_trace_settings", model))

    async def change_trace(self, settings: Mapping[str, Any], model: str = "") -> Settings:
        return _lists(await self._ask("update_trace_settings", model, dict(settings)))

    async def log(self) -> Settings:
        return _values(await self._ask("get_log_settings"))

    async def change_log(self, settings: Mapping[str, Any]) -> Settings:
        return _values(await self._ask("update_log_settings", dict(settings)))

    async def _ask(self, method: str, *arguments: Any) -> Any:
        with _refusals():
            return await self._call(method, *arguments)


def _lists(answer: Any) -> Settings:
    if isinstance(answer, dict):
        return {key: value if isinstance(value, list) else [value] for key, value in answer.items()}
    return {key: list(setting.value) for key, setting in answer.settings.items()}


def _values(answer: Any) -> Settings:
    if isinstance(answer, dict):
        return answer
    return {
        key: getattr(setting, setting.WhichOneof("parameter_choice"))
        for key, setting in answer.settings.items()
    }


@asynccontextmanager
async def _blocking(module: Any, address: str) -> AsyncIterator[SettingClient]:
    """A blocking client, all in one thread of its own."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:
        client = await loop.run_in_executor(thread, module.InferenceServerClient, address)

        async def call(method: str, *arguments: Any) -> Any:
            return await loop.run_in_executor(thread, getattr(client, method), *arguments)

        try:
            yield SettingClient(call)
        finally:
            await call("close")


@asynccontextmanager
async def _async(module: Any, address: str) -> AsyncIterator[SettingClient]:
    async with module.InferenceServerClient(address) as client:

        async def call(method: str, *arguments: Any) -> Any:
            return await getattr(client, method)(*arguments)

        yield SettingClient(call)


Connect = Callable[[str, str], AbstractAsyncContextManager[SettingClient]]

CLIENTS: Final[dict[str, Connect]] = {
    "tritonclient.http": lambda http, _: _blocking(http_sync, http),
    "tritonclient.http.aio": lambda http, _: _async(http_aio, http),
    "tritonclient.grpc": lambda _, grpc: _blocking(grpc_sync, grpc),
    "tritonclient.grpc.aio": lambda _, grpc: _async(grpc_aio, grpc),
}
"""From the addresses of a server's two listeners."""
