"""The connections under the application: aiohttp's protocol, with our refusals and without its gaps.

What aiohttp leaves open, and this closes: a reader that takes nothing of its answer keeps the connection
for ever; a body whose framing breaks after its head was dispatched is noticed by nobody; the answer to a
request that cannot be parsed repeats the client's bytes; connections are not counted.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import structlog
from aiohttp import EMPTY_PAYLOAD, StreamReader, http_parser, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong

from onnxd.http_frontend.config import HttpConfig
from onnxd.http_frontend.errors import refusal
from onnxd.http_frontend.open_connections import OpenConnections
from onnxd.http_frontend.reader_watch import ReaderWatch

_log = structlog.get_logger(__name__)

_MAX_HEAD_LINE_BYTES: Final = 8190
_MAX_HEADERS: Final = 128
_TURNS_AFTER_ANSWER: Final = 4
_LOOK_AGAIN_S: Final = 0.01
_MAX_FRUITLESS_BYTES: Final = 65536
"""Bytes in the middle of a body that belong to none: the extension of a chunk, or zeros before its size."""


def require_compiled_parser() -> None:
    """Raises RuntimeError when aiohttp parses HTTP in Python: slower, and not the parser that is tested."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise RuntimeError(
            "aiohttp's compiled HTTP parser is not in use; unset AIOHTTP_NO_EXTENSIONS and install aiohttp "
            "from a wheel with its extensions"
        )


class Lender(Protocol):
    """Whose connection it is, where aiohttp is lent single requests."""

    def given_back(self) -> bool:
        """The request is answered, and the next may come. False = not all of it has been lent yet."""


class Connection(web.RequestHandler):
    """One client's connection, or what a lender passes on of one."""

    __slots__ = ("_fruitless_bytes", "_reader", "_receiving", "lender")

    def __init__(
        self, manager: "Connections", config: HttpConfig, lender: Lender | None = None, **settings: Any
    ) -> None:
        super().__init__(manager, **settings)
        self.lender = lender
        """None = the connection is its own."""
        self._receiving: StreamReader = EMPTY_PAYLOAD
        """The body of the last request that was parsed."""
        self._fruitless_bytes = 0
        self._reader = ReaderWatch(config, self._loop)

    def hang_up(self) -> None:
        """Do not wait for the rest of the body: what is left of it costs more than a lost answer."""
        self._lingering_time = 0.0

    # Framing that breaks while a handler waits for its body. aiohttp queues a refusal behind the request that
    # is running, which would wait for the rest in vain; and a chunk's extension may be endless.

    def data_received(self, data: bytes) -> None:
        content = self._receiving
        before = content.total_bytes
        super().data_received(data)
        # Its request may not have reached a handler yet.
        last = self._messages[-1] if self._messages else None
        parsed = last is None or isinstance(last[0], RawRequestMessage)
        if last is not None and parsed and last[1] is not content:
            self._receiving = last[1]
            self._fruitless_bytes = 0
            return
        if content.is_eof():
            return
        if content.total_bytes != before:
            self._fruitless_bytes = 0
        else:
            self._fruitless_bytes += len(data)
        if not parsed or self._fruitless_bytes > _MAX_FRUITLESS_BYTES:
            self.hang_up()
            content.set_exception(web.RequestPayloadError("the body's framing is broken"))

    # Requests that are lent one by one.

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        finished = await super().finish_response(request, resp, start_time)
        if self.lender is not None:
            self._loop.call_soon(self._give_back)
        return finished

    def _give_back(self, tries: int = 1) -> None:
        """As soon as aiohttp waits for the next request: some turns of the loop after an answer, or when the
        rest of an unread body has come. When it ends the connection instead, the lender hears of it."""
        if self.lender is None or self.transport is None or self._close or self._force_close:
            return
        waits = self._waiter is not None and not self._waiter.done() and not self._messages
        if not waits or not self.lender.given_back():
            wait_s = 0.0 if tries < _TURNS_AFTER_ANSWER else _LOOK_AGAIN_S
            self._loop.call_later(wait_s, self._give_back, tries + 1)

    def stop_waiting(self) -> None:
        """No deadline for the next head: the lender has its own."""
        if self._keepalive_handle is not None:
            self._keepalive_handle.cancel()
            self._keepalive_handle = None

    def await_head_until(self, deadline_s: float) -> None:
        """A deadline for the head that is coming, in the loop's time."""
        self.stop_waiting()
        self._next_keepalive_close_time = deadline_s
        self._keepalive_handle = self._loop.call_at(deadline_s, self._process_keepalive)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what cannot be parsed, and what escaped the boundary. aiohttp's `message` is not used:
        it quotes the client's bytes."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer had begun, so this one cannot be sent")
        if status >= 500:
            _log.error("a request escaped the boundary", exc_info=exc)
            response = refusal(status, "internal error")
        else:
            response = refusal(status, _what_is_wrong(exc))
        response.force_close()
        # What could not be parsed counts as HTTP/1.0, where aiohttp leaves this header out.
        response.headers["Connection"] = "close"
        return response

    # Readers that do not read.

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None:
            self._reader.begin(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reader.end()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._reader.end()
        super().connection_lost(exc)


class Connections(web.Server):
    """All connections of one listener."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], config: HttpConfig
    ) -> None:
        super().__init__(
            handler,
            # A client that goes away frees its place in the queue at once.
            handler_cancellation=True,
            access_log=None,
            # aiohttp's own decompressor answers a truncated gzip body with 200 and garbage with 500.
            auto_decompress=False,
            keepalive_timeout=config.keepalive_timeout,
            lingering_time=config.linger_timeout,
            max_line_size=_MAX_HEAD_LINE_BYTES,
            max_field_size=_MAX_HEAD_LINE_BYTES,
            max_headers=_MAX_HEADERS,
        )
        self._config = config
        self.open: Final = OpenConnections(config)

    def __call__(self) -> web.RequestHandler:
        return Connection(self, self._config, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if not isinstance(handler, Connection) or handler.lender is None:
            self.open.enter(handler, transport)

    # Connections of a lender's: known here, and so part of a shutdown, while there is a request on them.

    def lent(self, lender: Lender) -> Connection:
        return Connection(self, self._config, lender, loop=self._loop, **self._kwargs)

    def wake(self, guest: Connection, transport: asyncio.Transport) -> None:
        """It is to answer another request."""
        self._connections[guest] = transport

    def rest(self, guest: Connection) -> None:
        """It has answered what it was lent."""
        guest.stop_waiting()
        self._connections.pop(guest, None)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self.open.leave(handler)
        super().connection_lost(handler, exc)


def _what_is_wrong(exc: BaseException | None) -> str:
    """A parser's complaint in words of ours."""
    if isinstance(exc, LineTooLong):
        return f"the request line or a header is longer than {_MAX_HEAD_LINE_BYTES} bytes"
    if isinstance(exc, BadHttpMethod):
        if "HTTPS" in exc.message:
            return "this port speaks HTTP without TLS; use http:// in the URL"
        return "the request's first line is not HTTP/1.1"
    return "the request is not well-formed HTTP/1.1 (its first line, a header, or the framing of its body)"
