"""Questions and answers between two processes, both ways over one stream of frames.

Frames are read in order. A question that is answered at once is answered before the next is looked at; one
that needs time is answered from a task of its own. What one side posts first, the other has seen first.
"""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self

import structlog

from onnxd.errors import ServerError, Unavailable
from onnxd.runtime import framing
from onnxd.workers.relay import error_from_json, error_to_json

Document = dict[str, Any]
Answer = Document | Coroutine[Any, Any, Document] | None
Answering = Callable[[str, Document], Answer]
"""What is asked, and with what -> the answer; None = there is nothing to say but that it is done."""

_MOST_UNANSWERED: Final = 1024
_MOST_UNSENT_BYTES: Final = 4 * framing.MAX_FRAME_BYTES

_log = structlog.get_logger(__name__)


class Gone(Exception):
    """The other process has ended, or has closed its side."""


class Channel:
    """One end. An async context manager; `serve` reads for as long as the other side is there.

    Bounds: so many questions that wait for their answers, so many bytes that the other side has not read.
    A side that is over them is taken for gone.
    """

    def __init__(self, sock: socket.socket, answering: Answering) -> None:
        self._sock = sock
        self._answering = answering
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Document]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self.heard_s = 0.0
        """When the other side has last said something, by the loop's clock."""

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._sock)
        self.heard_s = asyncio.get_running_loop().time()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hang_up()

    async def serve(self) -> None:
        """Answer until the other side is gone; what it had asked until then is no longer worked on."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            answers: set[asyncio.Task[None]] = set()
            with contextlib.suppress(framing.BrokenFrame, OSError):
                while (frame := await framing.read_async(self._reader)) is not None:
                    self.heard_s = loop.time()
                    if "re" in frame:
                        self._settle(frame)
                    elif (task := self._answer(frame)) is not None:
                        answers.add(started := tasks.create_task(task))
                        started.add_done_callback(answers.discard)
            self._hang_up()
            for answer in answers:
                answer.cancel()

    def post(self, what: str, document: Document | None = None) -> asyncio.Future[Document]:
        """Ask, without waiting. The future has the answer, the error that came instead, or Gone."""
        number = next(self._numbers)
        answer: asyncio.Future[Document] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda _: self._forget(number, answer))
        if self._writer is None:
            answer.set_exception(Gone("it has ended"))
            return answer
        if len(self._waiting) >= _MOST_UNANSWERED:
            answer.set_exception(
                Unavailable("too much is asked of the server's other workers at once", retry_after_s=1.0)
            )
            return answer
        self._waiting[number] = answer
        try:
            self._send({"id": number, "what": what, "with": document or {}})
        except Unavailable as error:
            answer.set_exception(error)
        return answer

    async def ask(self, what: str, document: Document | None = None, *, within_s: float) -> Document:
        """The answer. Raises what the other side raised, Gone, and TimeoutError."""
        async with asyncio.timeout(within_s):
            return await self.post(what, document)

    def _forget(self, number: int, answer: asyncio.Future[Document]) -> None:
        self._waiting.pop(number, None)
        if not answer.cancelled():
            answer.exception()  # looked at: whoever has not waited for it has no use for it

    def _settle(self, frame: Document) -> None:
        answer = self._waiting.get(frame["re"])
        if answer is None or answer.done():
            return
        if "error" in frame:
            answer.set_exception(error_from_json(frame["error"]))
        else:
            answer.set_result(frame["with"])

    def _answer(self, frame: Document) -> Coroutine[Any, Any, None] | None:
        number, what = frame["id"], str(frame["what"])
        try:
            answer = self._answering(what, frame["with"])
            if isinstance(answer, Coroutine):
                return self._later(number, what, answer)
            self._send({"re": number, "with": answer or {}})
        except Exception as error:  # it goes to whoever asked
            self._fail(number, what, error)
        return None

    async def _later(self, number: int, what: str, answer: Coroutine[Any, Any, Document]) -> None:
        try:
            self._send({"re": number, "with": await answer})
        except Exception as error:  # it goes to whoever asked
            self._fail(number, what, error)

    def _fail(self, number: int, what: str, error: Exception) -> None:
        if not isinstance(error, ServerError):
            _log.error("a question between workers failed", what=what, exc_info=error)
        self._send({"re": number, "error": error_to_json(error)})

    def _send(self, frame: Document) -> None:
        if self._writer is None:
            return
        try:
            data = framing.encode(frame)
        except framing.BrokenFrame as error:
            raise Unavailable(f"too much to hand to another process of the server: {error}") from error
        if self._writer.transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
            self._hang_up()
        else:
            self._writer.write(data)

    def _hang_up(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.transport.abort()
        for answer in tuple(self._waiting.values()):
            if not answer.done():
                answer.set_exception(Gone("it has ended"))
