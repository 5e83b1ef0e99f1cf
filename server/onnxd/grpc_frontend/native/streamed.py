"""A call of many messages, both ways."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from onnxd.errors import MalformedPayload, ServerError
from onnxd.grpc_frontend.context import EOF, Aborted, Received
from onnxd.grpc_frontend.native.exchange import Exchange
from onnxd.grpc_frontend.native.head import Head
from onnxd.grpc_frontend.native.messages import Inbox
from onnxd.http2.stream import Header, Stream

if TYPE_CHECKING:
    from onnxd.grpc_frontend.native.calls import Calls, Method

FIRST_WORD_S: Final = 0.01
"""How long a caller has to begin sending before it is served, or refused, as one that has not.

Clients of grpc.aio that are about to write find a call that is refused already closed, and then report that
and not why it was.
"""


class StreamedExchange(Exchange):
    """A StreamHandler, and the Context of the call's handler.

    The caller is held by its window while messages wait that nobody has read, but for one that has begun.
    """

    __slots__ = ("_first_word", "_inbox", "_owed", "_said_all", "_task", "_waiting")

    def __init__(self, calls: "Calls", stream: Stream, method: "Method", head: Head) -> None:
        super().__init__(calls, stream, method, head)
        self._inbox = Inbox(calls.max_message, calls.payloads)
        self._owed = 0
        """Bytes that are received, and not yet given back to the caller's window."""
        self._said_all = False
        self._task: asyncio.Task[None] | None = None
        self._waiting: asyncio.Future[None] | None = None
        """The handler waits for a message."""
        self._first_word = calls.loop.call_later(FIRST_WORD_S, self._begin)

    def data_received(self, data: Received) -> None:
        """As StreamHandler."""
        if self._over:
            return
        self._owed += len(data)
        try:
            self._inbox.feed(data)
        except ServerError as error:
            self.refuse(error)
            return
        if self._inbox.ready:
            self._begin()
            self._wake()
        else:
            self._give_back()

    def end_received(self, _: list[Header]) -> None:
        """As StreamHandler."""
        self._said_all = True
        if self._over:
            return
        if self._inbox.partial:
            self.refuse(MalformedPayload("the call's data ends inside a message"))
        else:
            self._begin()
            self._wake()

    async def read(self) -> Any:
        """As Context."""
        while not self._inbox.ready:
            if self._said_all:
                return EOF
            self._give_back()
            self._waiting = self._calls.loop.create_future()
            await self._waiting
        message = self._inbox.take()
        if not self._inbox.ready:
            self._give_back()
        return await self._plain(message) if message.compressed else message.data

    async def write(self, message: Any) -> None:
        """As Context."""
        parts = await self._compressed(message)
        if not self._over:
            self._answer_head()
            self._stream.send_data(parts)
            await self._stream.room()

    def _begin(self) -> None:
        self._first_word.cancel()
        if self._task is None and not self._over:
            self._task = self._calls.tasks.create_task(self._serve())

    async def _serve(self) -> None:
        try:
            await self._method.serve(None, self)
        except Aborted:
            pass
        except Exception as error:  # of whatever kind: that of a handler is our bug, and settled as one
            self._settle(error)
        else:
            self._finish_well()
        finally:
            self._forget_stream()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _release(self) -> None:
        self._first_word.cancel()
        self._inbox.close()
        self._give_back()

    def _give_back(self) -> None:
        if self._owed:
            self._stream.consumed(self._owed)
            self._owed = 0

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
