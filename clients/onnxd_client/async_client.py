"""The client for asyncio."""

import asyncio
import math
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
)
from contextlib import aclosing
from types import TracebackType
from typing import Any, TypeVar

from google.protobuf.message import Message

from onnxd_client.address import Address
from onnxd_client.codec import Codec, Exchange, LoadOverride, Parameter
from onnxd_client.errors import InvalidRequest
from onnxd_client.grpc_codec import GrpcCodec, infer_request, is_empty, stream_result
from onnxd_client.http_codec import HttpCodec
from onnxd_client.inputs import Inputs
from onnxd_client.moments import EVENTS_PATH, Moment, MomentReader
from onnxd_client.plan import Plan, run_async
from onnxd_client.results import Document, IndexEntry, InferResult, ModelMetadata, ServerMetadata
from onnxd_client.retry import RetryPolicy
from onnxd_client.session import Context, Options, Session, Version, checked_in_flight, version_text
from onnxd_client.transport.grpc_async import AsyncGrpcTransport
from onnxd_client.transport.http_async import AsyncHttpTransport

T = TypeVar("T")


class AsyncClient:
    """`Client` for asyncio: the same calls, awaited, in one event loop.

    A cancelled call is given up on the server too.
    """

    def __init__(
        self,
        url: str,
        *,
        deadline: float = 60.0,
        headers: Mapping[str, str] | None = None,
        retry: RetryPolicy | None = None,
        connections: int = 64,
        ca_file: str | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """See Client."""
        address = Address.parse(url)
        codec: Codec[Any, Any]
        self._transport: AsyncHttpTransport | AsyncGrpcTransport
        if address.scheme in ("http", "https"):
            codec = HttpCodec(address.path)
            self._transport = AsyncHttpTransport(address, connections=connections, ca_file=ca_file)
        else:
            codec = GrpcCodec()
            self._transport = AsyncGrpcTransport(address, ca_file=ca_file)
        self._sleep = sleep
        self._session: Session[Any, Any] = Session(
            codec, deadline=deadline, headers=headers or {}, policy=retry or RetryPolicy()
        )
        self._codec = codec
        self.repository = AsyncRepository(self)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends every connection; calls after it fail."""
        await self._transport.aclose()

    async def infer(
        self,
        model: str,
        inputs: Inputs,
        *,
        version: Version = None,
        outputs: Iterable[str] | None = None,
        classes: Mapping[str, int] | None = None,
        id: str = "",
        parameters: Mapping[str, Parameter] | None = None,
        priority: int | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> InferResult:
        """Runs a model; see Client.infer."""
        options = Options(version, outputs, classes, id, parameters or {}, priority)
        context = self._session.context(deadline, headers)
        return await self._run(self._session.infer(model, inputs, options, context))

    async def stream(
        self,
        model: str,
        inputs: AsyncIterable[Inputs] | Iterable[Inputs],
        *,
        version: Version = None,
        outputs: Iterable[str] | None = None,
        classes: Mapping[str, int] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        priority: int | None = None,
        deadline: float = math.inf,
        headers: Mapping[str, str] | None = None,
        in_flight: int = 16,
    ) -> AsyncGenerator[InferResult, None]:
        """Runs a model on one item after the other; see Client.stream. Leave it early with `aclosing`."""
        room = checked_in_flight(in_flight)
        wanted = None if outputs is None else list(outputs)
        options = Options(version, wanted, classes, "", parameters or {}, priority)
        context = self._session.context(deadline, headers)
        items = _aiter(inputs)
        if isinstance(self._transport, AsyncHttpTransport):
            async for item in items:
                yield await self._run(self._session.infer(model, item, options, context))
            return
        requests = self._requests(model, items, options, context)
        left = self._session.left(context)
        async with aclosing(self._transport.stream(requests, context.headers, left, room)) as replies:
            async for reply in replies:
                if not is_empty(reply):
                    yield stream_result(reply)

    async def _requests(
        self, model: str, items: AsyncIterator[Inputs], options: Options, context: Context
    ) -> AsyncGenerator[Message, None]:
        async for item in items:
            yield infer_request(await self._run(self._session.prepare(model, item, options, context)))

    async def live(self) -> bool:
        """Whether the server answers; False also when nothing listens."""
        return await self._probe(self._codec.live())

    async def ready(self) -> bool:
        """Whether the server takes requests; False also when nothing listens."""
        return await self._probe(self._codec.ready())

    async def model_ready(self, model: str, version: Version = None) -> bool:
        """Whether the model can be used now; False for one that is not known."""
        return await self._probe(self._codec.model_ready(model, version_text(version)))

    async def server(self) -> ServerMetadata:
        """Which server this is."""
        return await self._ask(self._codec.server())

    async def metadata(self, model: str, version: Version = None) -> ModelMetadata:
        """The model's inputs and outputs."""
        return await self._ask(self._codec.metadata(model, version_text(version)))

    async def config(self, model: str, version: Version = None) -> Document:
        """The model's configuration, as the protocol's JSON."""
        return await self._ask(self._codec.config(model, version_text(version)))

    async def statistics(self, model: str = "", version: Version = None) -> list[Document]:
        """Counters of each version that is ready, of one model or of all, as the protocol's JSON."""
        return await self._ask(self._codec.statistics(model, version_text(version)))

    async def placement(self, model: str, version: Version = None) -> Document:
        """Which nodes run on which provider, and their share of a run; onnxd's own, over HTTP only. The first
        answer for a version takes as long as its load."""
        return await self._ask(self._codec.placement(model, version_text(version)))

    async def recent(self, model: str) -> Document:
        """The last slow and failed requests of a model, each with its stages and batches; onnxd's own, over
        HTTP only."""
        return await self._ask(self._codec.recent(model))

    async def watch(self) -> AsyncGenerator[Moment, None]:
        """What the server is doing, a moment a second, until it drains; onnxd's own, over HTTP only.

        Counters only grow until a version is loaded again: rates and quantiles come of two moments. Raises a
        ServerError, Unavailable for one watcher too many or a lost connection.
        """
        if not isinstance(self._transport, AsyncHttpTransport):
            raise InvalidRequest("the server's moments are told over HTTP only: use an http:// address")
        context = self._session.context(None, None)
        reader = MomentReader()
        async with aclosing(self._transport.lines(EVENTS_PATH, context.headers)) as lines:
            async for line in lines:
                if (moment := reader.read(line)) is not None:
                    yield moment

    async def batching(self, model: str, version: Version = None) -> Document:
        """See Client.batching."""
        return await self._ask(self._codec.batching(model, version_text(version)))

    async def _probe(self, exchange: Exchange[Any, Any, bool]) -> bool:
        return await self._run(self._session.probe(exchange, self._session.context(None, None)))

    async def _ask(self, exchange: Exchange[Any, Any, T], deadline: float | None = None) -> T:
        return await self._run(self._session.call(exchange, self._session.context(deadline, None)))

    async def _run(self, plan: Plan[Any, Any, T]) -> T:
        return await run_async(plan, self._transport.send, self._sleep)


class AsyncRepository:
    """What the server holds, and what it serves of it; `client.repository`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def index(self, *, ready: bool = False) -> tuple[IndexEntry, ...]:
        """Every version of every model with its state; only those being served with `ready`."""
        return await self._client._ask(self._client._codec.index(ready))

    async def load(
        self,
        model: str,
        *,
        config: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
        deadline: float = 300.0,
    ) -> None:
        """Loads or reloads a model; returns when it serves. InvalidRequest tells why it does not.

        `config`, in Triton's JSON form, and `files`, such as {"1/model.onnx": data}, stand in for those of
        the repository, where the server permits it (its setting model_overrides).
        """
        override = LoadOverride(config, files or {})
        await self._client._ask(self._client._codec.load(model, override), deadline)

    async def rollback(self, model: str, *, deadline: float = 300.0) -> None:
        """Goes back to what the model served before, from the server's own copy. InvalidRequest tells why it
        cannot. Of onnxd alone: other servers refuse it."""
        await self._client._ask(self._client._codec.rollback(model), deadline)

    async def unload(self, model: str, *, deadline: float = 300.0) -> None:
        """Stops serving a model; what it is working on is finished. An unknown model is fine."""
        await self._client._ask(self._client._codec.unload(model), deadline)


def _aiter(items: AsyncIterable[Inputs] | Iterable[Inputs]) -> AsyncIterator[Inputs]:
    if isinstance(items, AsyncIterable):
        return aiter(items)
    return _wrapped(items)


async def _wrapped(items: Iterable[Inputs]) -> AsyncIterator[Inputs]:
    for item in items:
        yield item
