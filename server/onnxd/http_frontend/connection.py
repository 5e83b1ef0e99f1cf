"""The connections under the application: aiohttp's protocol, with our refusals and without its gaps.

What aiohttp leaves open, and this closes: a reader that takes nothing of its answer keeps the connection
for ever; a body whose framing breaks after its head was dispatched is noticed by nobody; the answer to a
request that cannot be parsed repeats the client's bytes; connections are not counted.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from aiohttp import http_parser, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong

from onnxd.http_frontend.config import HttpConfig
from onnxd.http_frontend.errors import refusal
from onnxd.protocol.json_response import encode_error
from onnxd.security.rates import network_of

_log = structlog.get_logger(__name__)

_MAX_HEAD_LINE_BYTES: Final = 8190
_MAX_HEADERS: Final = 128
_MAX_FRUITLESS_BYTES: Final = 65536
"""Bytes in the middle of a body that belong to none: the extension of a chunk, or zeros before its size."""


def _ready_made(status: bytes, message: str) -> bytes:
    """A refusal of a connection, sent before anything is read."""
    body = encode_error(message)
    return (
        b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
    )


_TOO_MANY: Final = _ready_made(
    b"503 Service Unavailable", "the server has as many connections as it may; try again later"
)
_TOO_MANY_OF_ONE: Final = _ready_made(
    b"429 Too Many Requests",
    "this address has as many connections as it may (http.max_connections_per_address); use those again",
)


def require_compiled_parser() -> None:
    """Raises RuntimeError when aiohttp parses HTTP in Python: slower, and not the parser that is tested."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise RuntimeError(
            "aiohttp's compiled HTTP parser is not in use; unset AIOHTTP_NO_EXTENSIONS and install aiohttp "
            "from a wheel with its extensions"
        )


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_config", "_fruitless_bytes", "_unsent_bytes", "_unsent_timer", "_watched")

    def __init__(self, manager: "Connections", config: HttpConfig, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._config = config
        self._fruitless_bytes = 0
        self._watched: asyncio.Transport | None = None
        self._unsent_bytes = 0
        self._unsent_timer: asyncio.TimerHandle | None = None

    def hang_up(self) -> None:
        """Do not wait for the rest of the body: what is left of it costs more than a lost answer."""
        self._lingering_time = 0.0

    # Framing that breaks while a handler waits for its body. aiohttp queues a refusal behind the request that
    # is running, which would wait for the rest in vain; and a chunk's extension may be endless.

    def data_received(self, data: bytes) -> None:
        request = self._current_request
        if request is None or request.content.is_eof():
            super().data_received(data)
            return
        content = request.content
        before = content.total_bytes
        super().data_received(data)
        if content.total_bytes != before:
            self._fruitless_bytes = 0
        else:
            self._fruitless_bytes += len(data)
        unparsed = self._messages and not isinstance(self._messages[-1][0], RawRequestMessage)
        if (unparsed or self._fruitless_bytes > _MAX_FRUITLESS_BYTES) and not content.is_eof():
            self.hang_up()
            content.set_exception(web.RequestPayloadError("the body's framing is broken"))

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

    # Readers that do not read. asyncio says when its buffer is over its high-water mark and when it is
    # below again; between the two the buffer has to shrink. Nothing is paid for answers that just go out.

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watched = self.transport
        if self._watched is not None:
            self._unsent_bytes = self._watched.get_write_buffer_size()
            self._watch_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_watching()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def _watch_reader(self) -> None:
        self._unsent_timer = self._loop.call_later(self._config.write_timeout, self._check_reader)

    def _check_reader(self) -> None:
        if self._watched is None:
            return
        unsent = self._watched.get_write_buffer_size()
        if self._unsent_bytes - unsent < max(1.0, self._config.min_rate * self._config.write_timeout):
            _reset(self._watched)
            return
        self._unsent_bytes = unsent
        self._watch_reader()

    def _stop_watching(self) -> None:
        if self._unsent_timer is not None:
            self._unsent_timer.cancel()
            self._unsent_timer = None
        self._watched = None


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
        self._open: dict[web.RequestHandler, asyncio.Transport] = {}
        self._addresses: dict[web.RequestHandler, str] = {}
        """Whose each connection is; empty where those of an address are not limited."""
        self._of_address: dict[str, int] = {}
        """How many each address has."""
        self._all_closed: asyncio.Future[None] | None = None

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def __call__(self) -> web.RequestHandler:
        return Connection(self, self._config, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._open[handler] = transport
        most = self._config.max_connections_per_address
        if len(self._open) > self._config.max_connections:
            _refuse(transport, _TOO_MANY)
        elif most:
            address = _address_of(transport)
            count = self._of_address.get(address, 0)
            if count >= most:
                _refuse(transport, _TOO_MANY_OF_ONE)
            else:
                self._of_address[address] = count + 1
                self._addresses[handler] = address

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self._open.pop(handler, None)
        address = self._addresses.pop(handler, None)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]
        super().connection_lost(handler, exc)
        if self._all_closed is not None and not self._open and not self._all_closed.done():
            self._all_closed.set_result(None)

    async def wait_closed(self, timeout_s: float) -> None:
        """After shutdown: wait until the last answers are sent, and cut those whose readers do not read."""
        if not self._open:
            return
        self._all_closed = self._loop.create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self._all_closed
        except TimeoutError:
            for transport in tuple(self._open.values()):
                _reset(transport)


def _refuse(transport: asyncio.Transport, answer: bytes) -> None:
    transport.write(answer)
    transport.close()


def _address_of(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return network_of(peer[0]) if isinstance(peer, tuple) else ""


def _reset(transport: asyncio.Transport) -> None:
    """End a connection whose reader does not read. Closing it in order would wait until all is sent, in our
    buffer or, for minutes and out of our sight, in the kernel's."""
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    transport.abort()


def _what_is_wrong(exc: BaseException | None) -> str:
    """A parser's complaint in words of ours."""
    if isinstance(exc, LineTooLong):
        return f"the request line or a header is longer than {_MAX_HEAD_LINE_BYTES} bytes"
    if isinstance(exc, BadHttpMethod):
        if "HTTPS" in exc.message:
            return "this port speaks HTTP without TLS; use http:// in the URL"
        return "the request's first line is not HTTP/1.1"
    return "the request is not well-formed HTTP/1.1 (its first line, a header, or the framing of its body)"
