"""A call of one message and one answer: the usual one, and so the one that is made to cost little."""

import struct
from typing import TYPE_CHECKING, Final

from onnxd.errors import MalformedPayload, ServerError
from onnxd.grpc_frontend.context import Aborted, Received
from onnxd.grpc_frontend.native.exchange import Exchange
from onnxd.grpc_frontend.native.head import Head
from onnxd.grpc_frontend.native.messages import Inbox, Message, framed, size_of, whole
from onnxd.grpc_frontend.native.status import ANSWERS, OK
from onnxd.grpc_frontend.native.workers import Job, Worker
from onnxd.http2.stream import Header, Stream

if TYPE_CHECKING:
    from onnxd.grpc_frontend.native.calls import Calls, Method

_PREFIX: Final = struct.Struct(">BI")


class UnaryExchange(Exchange):
    """A StreamHandler, and the Context of the call's handler."""

    __slots__ = ("_inbox", "_job", "_message", "_worker")

    def __init__(self, calls: "Calls", stream: Stream, method: "Method", head: Head) -> None:
        super().__init__(calls, stream, method, head)
        self._message: Message | None = None
        self._inbox: Inbox | None = None
        """For a message that does not come in one piece."""
        self._job: Job | None = None
        self._worker: Worker | None = None

    def data_received(self, data: Received) -> None:
        """As StreamHandler."""
        if self._over:
            return
        size = len(data)
        self._stream.consumed(size)
        try:
            if self._inbox is None:
                if self._message is None and size >= _PREFIX.size:
                    flag, length = _PREFIX.unpack_from(data)
                    if length == size - _PREFIX.size and flag <= 1 and self._calls.fits(length):
                        self._message = Message(flag == 1, whole(data[_PREFIX.size :]), 0)
                        return
                self._inbox = Inbox(self._calls.max_message, self._calls.payloads)
            self._inbox.feed(data)
            if len(self._inbox.ready) + (self._message is not None) > 1 or self._job is not None:
                raise MalformedPayload("expected one message in this call, got more")
        except ServerError as error:
            self.refuse(error)

    def end_received(self, _: list[Header]) -> None:
        """As StreamHandler."""
        if self._over:
            return
        message = self._message
        if self._inbox is not None:
            if self._inbox.partial:
                self.refuse(MalformedPayload("the call's data ends inside a message"))
                return
            if self._inbox.ready:
                message = self._inbox.take()
        if message is None:
            self.refuse(MalformedPayload("expected one message in this call, got none"))
            return
        self._message = None
        self._job = self._answer(message)
        self._worker = self._calls.workers.run(self._job)

    async def _answer(self, message: Message) -> None:
        try:
            data = await self._plain(message) if message.compressed else message.data
            del message
            answer = await self._method.serve(data, self)
            del data
            if self._encoding is None:
                parts = framed(answer, size_of(answer))
            else:
                parts = await self._compressed(answer)
        except Aborted:
            pass
        except Exception as error:  # of whatever kind: that of a handler is our bug, and settled as one
            self._settle(error)
        else:
            if self._over:
                pass
            elif self._trailing:
                self._answer_head()
                self._stream.send_data(parts)
                self._finish_well()
            else:
                self._stream.answer(ANSWERS[self._encoding], parts, OK)
                self._close()
        finally:
            self._forget_stream()

    def _cancel(self) -> None:
        if self._worker is not None and self._job is not None:
            self._worker.cancel(self._job)

    def _release(self) -> None:
        self._message = None
        if self._inbox is not None:
            self._inbox.close()
