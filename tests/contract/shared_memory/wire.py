"""tritonclient's asyncio clients with tensors in shared memory, over one wire or the other."""

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pytest
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http.aio as http_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from onnxd.tensors import Array


class At(NamedTuple):
    """A place in a region."""

    region: str
    size: int
    offset: int = 0


class Shared(NamedTuple):
    """An input that lies in a region."""

    place: At
    datatype: str
    shape: tuple[int, ...]


class Answered(NamedTuple):
    """An output of an answer. `array` None: it came without data."""

    datatype: str
    shape: tuple[int, ...]
    array: Array | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Statuses of one kind of refusal over both wires."""

    http: str
    grpc: str


INVALID: Final = Refusal("400", "StatusCode.INVALID_ARGUMENT")
TAKEN: Final = Refusal("400", "StatusCode.ALREADY_EXISTS")
FORBIDDEN: Final = Refusal("403", "StatusCode.PERMISSION_DENIED")
UNKNOWN: Final = Refusal("404", "StatusCode.NOT_FOUND")
TOO_LARGE: Final = Refusal("413", "StatusCode.RESOURCE_EXHAUSTED")
TOO_MANY: Final = Refusal("429", "StatusCode.RESOURCE_EXHAUSTED")
BUSY: Final = Refusal("503", "StatusCode.UNAVAILABLE")


class Wire:
    """A client. Tensors are bytes in the request unless they are said to lie elsewhere."""

    def __init__(self, module: Any, client: Any) -> None:
        self._module = module
        self.client = client
        self.is_http = module is http_aio

    async def register(self, name: str, key: str, size: int, offset: int = 0) -> None:
        await self.client.register_system_shared_memory(name, key, size, offset)

    async def unregister(self, name: str = "") -> None:
        await self.client.unregister_system_shared_memory(name)

    async def status(self, name: str = "") -> dict[str, tuple[str, int, int]]:
        """Key, offset and size of each region, by its name."""
        answer = await self.client.get_system_shared_memory_status(name)
        if self.is_http:
            return {each["name"]: (each["key"], each["offset"], each["byte_size"]) for each in answer}
        assert all(name == region.name for name, region in answer.regions.items())
        return {name: (each.key, each.offset, each.byte_size) for name, each in answer.regions.items()}

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Array | Shared],
        outputs: Mapping[str, At | None] | None = None,
        **more: Any,
    ) -> dict[str, Answered]:
        """`outputs`: None = all of them, in the answer."""
        result = await self.client.infer(
            model,
            [self.input(name, each) for name, each in inputs.items()],
            outputs=None if outputs is None else [self.output(*each) for each in outputs.items()],
            **more,
        )
        return self.answered(result)

    def input(self, name: str, tensor: Array | Shared) -> Any:
        if isinstance(tensor, Shared):
            built = self._module.InferInput(name, list(tensor.shape), tensor.datatype)
            built.set_shared_memory(*tensor.place)
            return built
        built = self._module.InferInput(name, list(tensor.shape), np_to_triton_dtype(tensor.dtype))
        return built.set_data_from_numpy(tensor)

    def output(self, name: str, place: At | None) -> Any:
        built = self._module.InferRequestedOutput(name)
        if place is not None:
            built.set_shared_memory(*place)
        return built

    def answered(self, result: Any) -> dict[str, Answered]:
        answer = result.get_response()
        if self.is_http:
            return {
                each["name"]: Answered(
                    each["datatype"],
                    tuple(each["shape"]),
                    result.as_numpy(each["name"]) if set(each) - {"name", "datatype", "shape"} else None,
                )
                for each in answer["outputs"]
            }
        raw = answer.raw_output_contents
        assert len(raw) == len(answer.outputs)
        return {
            each.name: Answered(
                each.datatype, tuple(each.shape), result.as_numpy(each.name) if content else None
            )
            for each, content in zip(answer.outputs, raw, strict=True)
        }

    async def refused(self, call: Awaitable[object], kind: Refusal) -> str:
        """The message with which a call is refused, as this kind of refusal."""
        with pytest.raises(InferenceServerException) as caught:
            await call
        message = str(caught.value.message())
        assert caught.value.status() == (kind.http if self.is_http else kind.grpc), message
        assert "/dev/shm" not in message  # noqa: S108 -- no path of the server's in what it says
        return message


@asynccontextmanager
async def http_wire(port: int, host: str = "127.0.0.1") -> AsyncIterator[Wire]:
    async with http_aio.InferenceServerClient(f"{host}:{port}") as client:
        yield Wire(http_aio, client)


@asynccontextmanager
async def grpc_wire(port: int, host: str = "127.0.0.1") -> AsyncIterator[Wire]:
    # Or a channel to a port that an earlier test used gets that one's connection.
    own = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc_aio.InferenceServerClient(f"{host}:{port}", channel_args=own) as client:
        yield Wire(grpc_aio, client)


WIRES: Final = {"HTTP": http_wire, "gRPC": grpc_wire}
