"""One call on its stream: from its head to its end, whichever comes first of its answer, its deadline, its
caller leaving, and the server stopping."""

import asyncio
import time
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

from onnxd.errors import MalformedPayload, ServerError
from onnxd.grpc_frontend.context import Parts, Received
from onnxd.grpc_frontend.native.certificate import alternative_names
from onnxd.grpc_frontend.native.head import Head, Metadata, metadata_of
from onnxd.grpc_frontend.native.messages import (
    IN_THREAD_BYTES,
    Inbox,
    Message,
    framed,
    framed_smaller,
    plain,
    size_of,
)
from onnxd.grpc_frontend.native.status import ANSWERS, OK, trailers, trailers_only
from onnxd.http2.stream import Header, Stream

if TYPE_CHECKING:
    from onnxd.grpc_frontend.native.calls import Calls, Method

FIRST_WORD_S: Final = 0.01
"""How long a stream's caller has to begin sending before it is served as one that has not (see
native.calls.Refused)."""
_OWN_WORDS_S: Final = 0.05
"""How long after its deadline a call is ended from here. What knows of it ends at once, and says where it
was."""


class Exchange:
    """A StreamHandler, and the Context of the call's handler."""

    __slots__ = (
        "_answered", "_calls", "_deadline_s", "_encoding", "_head", "_inbox", "_method", "_over", "_owed",
        "_said_all", "_stream", "_task", "_timer", "_waiting",
    )  # fmt: skip

    def __init__(self, calls: "Calls", stream: Stream, method: "Method", head: Head) -> None:
        self._calls = calls
        self._stream = stream
        self._method = method
        self._head = head
        self._inbox = Inbox(calls.max_message, calls.payloads)
        self._owed = 0
        """Bytes that are received, and not yet given back to the caller's window."""
        self._said_all = False
        self._answered = False
        """Whether the head of the answer is sent."""
        self._encoding = head.answers
        """Of messages that are sent."""
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self._waiting: asyncio.Future[None] | None = None
        """The handler waits for a message."""
        self._timer: asyncio.TimerHandle | None = None
        self._deadline_s: float | None = None
        if head.timeout_s is not None:
            self._deadline_s = time.monotonic() + head.timeout_s
            self._timer = calls.loop.call_later(head.timeout_s + _OWN_WORDS_S, self._expire)

    def begin(self) -> None:
        """Its head is good."""
        self._calls.open.add(self)
        if self._method.streamed:
            self._calls.loop.call_later(FIRST_WORD_S, self._serve_stream)

    # What the stream says.

    def data_received(self, data: Received) -> None:
        """As StreamHandler."""
        if self._over:
            self._stream.consumed(len(data))
            return
        try:
            self._inbox.feed(data)
            if self._inbox.ready and not self._method.streamed and (len(self._inbox.ready) > 1 or self._task):
                raise MalformedPayload("expected one message in this call, got more")
        except ServerError as error:
            self.refuse(error)
            return
        self._owed += len(data)
        if not self._inbox.ready or not self._method.streamed:
            self._give_back()
        else:
            self._serve_stream()
            self._wake()

    def end_received(self, _: list[Header]) -> None:
        """As StreamHandler."""
        self._said_all = True
        if self._over:
            return
        if self._inbox.partial:
            self.refuse(MalformedPayload("the call's data ends inside a message"))
        elif self._method.streamed:
            self._serve_stream()
            self._wake()
        elif not self._inbox.ready:
            self.refuse(MalformedPayload("expected one message in this call, got none"))
        else:
            self._spawn(self._answer_one(self._inbox.take()))

    def lost(self, _: int) -> None:
        """As StreamHandler."""
        self._close()
        self._cancel()

    # What the server says.

    def refuse(self, error: ServerError) -> None:
        """End the call with an error that its handler does not know of; it is counted and logged."""
        if not self._over:
            refusal = self._calls.settle(error, self, self._method.path)
            self.end(trailers(refusal.status, refusal.details, refusal.trailers))

    def end(self, fields: list[Header]) -> None:
        """End the call from outside of its handler."""
        self._finish(fields)
        self._cancel()

    # What the handler asks, by the names of grpc.aio's ServicerContext.

    def invocation_metadata(self) -> Metadata:
        """As Context."""
        return metadata_of(self._stream.headers)

    def peer(self) -> str:
        """As Context."""
        return self._stream.peer

    def auth_context(self) -> dict[str, list[bytes]]:
        """As Context."""
        certificate = self._stream.peer_certificate
        if certificate is None:
            return {}
        return {"x509_subject_alternative_name": alternative_names(certificate)}

    def time_remaining(self) -> float | None:
        """As Context."""
        return None if self._deadline_s is None else max(0.0, self._deadline_s - time.monotonic())

    def disable_next_message_compression(self) -> None:
        """As Context. Before the first message it holds for all of them, whose head then names no
        encoding."""
        self._encoding = None

    async def read(self) -> Any:
        """As Context."""
        while not self._inbox.ready:
            if self._said_all:
                return grpc.aio.EOF
            self._give_back()
            self._waiting = self._calls.loop.create_future()
            await self._waiting
        message = self._inbox.take()
        if not self._inbox.ready:
            self._give_back()
        return await self._plain(message) if message.compressed else message.data

    async def write(self, message: Any) -> None:
        """As Context."""
        parts = await self._framed(message)
        if self._over:
            return
        self._answer_head()
        self._stream.send_data(parts)
        await self._stream.room()

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> Any:
        """As Context."""
        self._finish(trailers(code, details, trailing_metadata))
        raise grpc.aio.AbortError

    # Its task.

    def _serve_stream(self) -> None:
        if self._task is None and not self._over:
            self._spawn(self._stream_through())

    def _spawn(self, run: Coroutine[Any, Any, None]) -> None:
        self._task = self._calls.spawn(run)

    async def _answer_one(self, message: Message) -> None:
        try:
            data = await self._plain(message) if message.compressed else message.data
            del message
            answer: Parts = await self._method.serve(data, self)
            parts = await self._framed(answer)
        except grpc.aio.AbortError:
            return
        except ServerError as error:
            self.refuse(error)
            return
        except Exception as error:  # of whatever kind: the handler's boundary is to let none out
            self._failed(error)
            return
        if not self._over:
            self._stream.answer(ANSWERS[self._encoding], parts, OK)
            self._close()

    async def _stream_through(self) -> None:
        try:
            await self._method.serve(None, self)
        except grpc.aio.AbortError:
            return
        except Exception as error:  # as above
            self._failed(error)
            return
        if not self._over:
            self._answer_head()
            self._stream.send_block(OK, end=True)
            self._close()

    def _failed(self, error: Exception) -> None:
        refusal = self._calls.settle(error, self, self._method.path)
        self._finish(trailers(refusal.status, refusal.details))

    async def _plain(self, message: Message) -> bytes:
        bounds = (message.data, self._head.encoding, self._calls.max_message)
        if len(message.data) <= IN_THREAD_BYTES:
            return plain(*bounds)
        return await asyncio.to_thread(plain, *bounds)

    async def _framed(self, message: Parts) -> list[bytes | memoryview]:
        size = size_of(message)
        encoding = self._encoding
        if encoding is None:
            return framed(message, size)
        if size <= IN_THREAD_BYTES:
            return framed_smaller(message, size, encoding)
        return await asyncio.to_thread(framed_smaller, message, size, encoding)

    # The rest.

    def _answer_head(self) -> None:
        if not self._answered:
            self._answered = True
            self._stream.send_block(ANSWERS[self._encoding])

    def _finish(self, fields: list[Header]) -> None:
        if not self._over:
            self._stream.send_headers(fields if self._answered else trailers_only(fields), end=True)
            self._close()

    def _close(self) -> None:
        self._over = True
        self._inbox.close()
        if self._timer is not None:
            self._timer.cancel()
        self._calls.open.discard(self)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _expire(self) -> None:
        self.end(trailers(grpc.StatusCode.DEADLINE_EXCEEDED, "the call's deadline has passed"))

    def _give_back(self) -> None:
        if self._owed:
            self._stream.consumed(self._owed)
            self._owed = 0

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
