"""What all calls have in common: what their handlers see of them, and that each ends once.

Whichever comes first ends a call: its answer, its deadline, its caller leaving, the server stopping.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from onnxd.errors import ServerError
from onnxd.grpc_frontend.context import Aborted, Parts
from onnxd.grpc_frontend.native.certificate import alternative_names
from onnxd.grpc_frontend.native.head import Head, Metadata, metadata_of
from onnxd.grpc_frontend.native.messages import (
    IN_THREAD_BYTES,
    Message,
    framed,
    framed_smaller,
    plain,
    size_of,
)
from onnxd.grpc_frontend.native.status import ANSWERS, OK, trailers, trailers_only
from onnxd.grpc_frontend.status_code import StatusCode
from onnxd.http2.stream import Header, Stream

if TYPE_CHECKING:
    from onnxd.grpc_frontend.native.calls import Calls, Method

_OWN_WORDS_S: Final = 0.05
"""How long after its deadline a call is ended from here. What knows of it ends at once, and says where it
was."""


class Exchange(ABC):
    """The part of a StreamHandler, and of a Context, that does not depend on how many messages there are."""

    __slots__ = (
        "_answered", "_calls", "_deadline_s", "_encoding", "_head", "_method", "_over", "_stream", "_timer",
        "_trailing",
    )  # fmt: skip

    def __init__(self, calls: "Calls", stream: Stream, method: "Method", head: Head) -> None:
        self._calls = calls
        self._stream = stream
        self._method = method
        self._head = head
        self._encoding = head.answers
        """Of messages that are sent."""
        self._answered = False
        """Whether the head of the answer is sent."""
        self._trailing: Metadata = ()
        """What is sent behind a good answer."""
        self._over = False
        self._timer: asyncio.TimerHandle | None = None
        self._deadline_s: float | None = None
        if head.timeout_s is not None:
            self._deadline_s = time.monotonic() + head.timeout_s
            self._timer = calls.loop.call_later(head.timeout_s + _OWN_WORDS_S, self._expire)
        calls.open.add(self)

    # Of StreamHandler.

    def lost(self, _: int) -> None:
        """As StreamHandler."""
        self._close()
        self._cancel()

    # What the server says.

    def refuse(self, error: ServerError) -> None:
        """End the call with an error that its handler does not know of; it is counted and logged."""
        if not self._over:
            self._settle(error)
            self._cancel()

    def end(self, fields: list[Header]) -> None:
        """End the call from outside of its handler."""
        self._finish(fields)
        self._cancel()

    # What the handler asks, by the names of grpc.aio's ServicerContext.

    def invocation_metadata(self) -> Metadata:
        """As Context."""
        head = self._head
        if head.metadata is None:
            head.metadata = metadata_of(self._stream.headers)
        return head.metadata

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

    def set_trailing_metadata(self, metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """As Context."""
        self._trailing = tuple(metadata)

    async def abort(
        self,
        code: StatusCode,
        details: str = "",
        trailing_metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> Any:
        """As Context."""
        self._finish(trailers(code, details, trailing_metadata))
        raise Aborted

    # For the kinds of it.

    async def read(self) -> Any:
        """As Context; of streams, whose kind has one."""
        raise NotImplementedError

    async def write(self, message: Any) -> None:
        """Likewise."""
        raise NotImplementedError

    @abstractmethod
    def _cancel(self) -> None:
        """Cancel the handler, if it runs."""

    @abstractmethod
    def _release(self) -> None:
        """Let go of what is received."""

    def _settle(self, error: Exception) -> None:
        """End the call with an error, from within its own task or before it has one."""
        refusal = self._calls.settle(error, self, self._method.path)
        self._finish(trailers(refusal.status, refusal.details, refusal.trailers))

    def _answer_head(self) -> None:
        if not self._answered:
            self._answered = True
            self._stream.send_block(ANSWERS[self._encoding])

    def _finish_well(self) -> None:
        if not self._over:
            self._answer_head()
            if self._trailing:
                self._stream.send_headers(trailers(StatusCode.OK, "", self._trailing), end=True)
            else:
                self._stream.send_block(OK, end=True)
            self._close()

    def _finish(self, fields: list[Header]) -> None:
        if not self._over:
            self._stream.send_headers(fields if self._answered else trailers_only(fields), end=True)
            self._close()

    def _close(self) -> None:
        self._over = True
        self._release()
        if self._timer is not None:
            self._timer.cancel()
        self._calls.open.discard(self)

    def _forget_stream(self) -> None:
        """At the end of the handler's task, when the stream is over, too: it has this, and the two would wait
        together for the garbage collector."""
        del self._stream

    def _expire(self) -> None:
        self.end(trailers(StatusCode.DEADLINE_EXCEEDED, "the call's deadline has passed"))

    async def _plain(self, message: Message) -> bytes:
        """What a compressed message says. Raises ServerError."""
        bounds = (message.data, self._head.encoding, self._calls.max_message)
        if len(message.data) <= IN_THREAD_BYTES:
            return plain(*bounds)
        return await asyncio.to_thread(plain, *bounds)

    async def _compressed(self, message: Parts) -> list[bytes | memoryview]:
        """The message behind its prefix, compressed where that is wanted and makes it smaller."""
        size = size_of(message)
        encoding = self._encoding
        if encoding is None:
            return framed(message, size)
        if size <= IN_THREAD_BYTES:
            return framed_smaller(message, size, encoding)
        return await asyncio.to_thread(framed_smaller, message, size, encoding)
