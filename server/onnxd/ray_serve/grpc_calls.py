"""Ray's gRPC calls as a transport of the gRPC front end: the same handlers, and nothing that listens."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import grpc

from onnxd.errors import PayloadTooLarge, ServerDraining
from onnxd.grpc_frontend.context import EOF, Parts
from onnxd.grpc_frontend.errors import refusal_of
from onnxd.grpc_frontend.status_code import StatusCode
from onnxd.grpc_frontend.transport import Handler, Handlers


class CallEnded(Exception):
    """The call is over: its status is on Ray's context."""


class Answer:
    """A message in its wire form, as what Ray asks for it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def SerializeToString(self) -> bytes:
        return self._parts if isinstance(self._parts, bytes) else b"".join(self._parts)


class RayCall:
    """One call, as a Context (grpc_frontend/context.py) over Ray's."""

    def __init__(self, ray_context: Any, messages: AsyncIterator[bytes] | None = None) -> None:
        """`messages`: of a stream."""
        self._ray = ray_context
        self._messages = messages
        self._answers: asyncio.Queue[Parts | None] = asyncio.Queue(maxsize=1)

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        metadata: list[tuple[str, str | bytes]] = self._ray.invocation_metadata()
        return metadata

    def peer(self) -> str:
        return str(self._ray.peer())

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        names: Mapping[str, Iterable[bytes]] = self._ray.auth_context()
        return names

    def time_remaining(self) -> float | None:
        """Ray does not pass a caller's deadline on; when it is over, it cancels the call."""
        return None

    def set_trailing_metadata(self, metadata: Any) -> None:
        self._ray.set_trailing_metadata(list(metadata))

    def disable_next_message_compression(self) -> None:
        """Ray's proxies compress nothing."""

    async def read(self) -> Any:
        if self._messages is None:
            raise RuntimeError("a call of one message has none to read")
        return await anext(self._messages, EOF)

    async def write(self, message: Parts) -> None:
        await self._answers.put(message)

    async def abort(self, code: StatusCode, details: str = "", trailing_metadata: Any = ()) -> Any:
        self._ray.set_code(grpc.StatusCode[code.name])
        self._ray.set_details(details)
        self._ray.set_trailing_metadata(list(trailing_metadata))
        raise CallEnded(details)

    async def answers(self) -> AsyncIterator[Parts]:
        """What the handler writes, until `last`."""
        while (message := await self._answers.get()) is not None:
            yield message

    async def last(self) -> None:
        """There will be no more answers."""
        await self._answers.put(None)


class RayTransport:
    """As Transport. Ray's proxies listen; a replica that is to end is given no more calls."""

    def __init__(self, max_message: int) -> None:
        """`max_message`: of the largest message in bytes; -1 = no limit. Ray's own is 2 GiB."""
        self._max_message = max_message
        self._handlers: Handlers = {}

    async def start(self, handlers: Handlers) -> int:
        """As Transport.start; there is no port."""
        self._handlers = handlers
        return 0

    async def stop(self, grace_s: float) -> None:
        """As Transport.stop: Ray has waited for the calls in progress."""
        self._handlers = {}

    async def close(self) -> None:
        """As Transport.close."""

    async def unary(self, path: str, message: bytes, ray_context: Any) -> Answer:
        """Answer a call of one message; how it is refused is on Ray's context."""
        call = RayCall(ray_context)
        try:
            await self._check(call, len(message))
            handler = await self._handler(call, path)
            return Answer(await handler.serve(message, call))
        except CallEnded:
            # Raised, it would lose its trailers on the way: Ray passes those of answers on, not of errors.
            return Answer(b"")

    async def stream(
        self, path: str, messages: AsyncIterator[bytes], ray_context: Any
    ) -> AsyncIterator[Answer]:
        """Answer a stream. Raises CallEnded for its status, which Ray finds on its context."""
        call = RayCall(ray_context, self._checked(messages, ray_context))
        ended: CallEnded | None = None

        async def serve() -> None:
            nonlocal ended
            try:
                handler = await self._handler(call, path)
                await handler.serve(None, call)
            except CallEnded as error:
                ended = error
            await call.last()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve())
            async for parts in call.answers():
                yield Answer(parts)
        if ended is not None:
            raise ended

    async def _checked(self, messages: AsyncIterator[bytes], ray_context: Any) -> AsyncIterator[bytes]:
        async for message in messages:
            await self._check(RayCall(ray_context), len(message))
            yield message

    async def _check(self, call: RayCall, length: int) -> None:
        if 0 <= self._max_message < length:
            what = f"a message of {length} bytes is over the limit of {self._max_message} (grpc.max_message)"
            refusal = refusal_of(PayloadTooLarge(what))
            await call.abort(refusal.status, refusal.details, refusal.trailers)

    async def _handler(self, call: RayCall, path: str) -> Handler:
        handler = self._handlers.get(path)
        if handler is None:
            refusal = refusal_of(ServerDraining("the replica is shutting down", retry_after_s=1.0))
            await call.abort(refusal.status, refusal.details, refusal.trailers)
            raise AssertionError("abort returned")
        return handler
