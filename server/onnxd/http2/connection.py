"""One client's connection on asyncio: bytes in, bytes out, and how it ends.

preface -> open -> leaving (GOAWAY; its streams finish) -> closing (nothing more is read) -> lost
"""

import asyncio
import math
import socket
import struct
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final, Protocol, cast

import structlog

from onnxd.http2 import frames
from onnxd.http2.config import DEFAULT_WINDOW, Http2Config
from onnxd.http2.error_codes import ConnectionFault, ErrorCode
from onnxd.http2.frames import PREFACE, FrameReader
from onnxd.http2.head_block import HeadEncoder, max_block_bytes
from onnxd.http2.incoming import Incoming
from onnxd.http2.outbox import Outbox
from onnxd.http2.settings import own_settings
from onnxd.http2.stream import StreamFactory
from onnxd.http2.watch import Due, Seen, Watch

_log = structlog.get_logger(__name__)

_LARGEST_ID: Final = 2**31 - 1
_HIGH_WATER: Final = 262144
_READ_BYTES: Final = 262144
_GRACE_PING: Final = b"goodbye!"
_PROBE: Final = b"are you?"
_UNREAD_FRAMES: Final = 2000
"""Frames without data that wait for a socket that takes nothing, beyond those of all streams that may be."""


class Phase(Enum):
    """Of a connection."""

    PREFACE = auto()
    OPEN = auto()
    CLOSING = auto()
    LOST = auto()


class Shared:
    """What all connections of a listener have in common."""

    __slots__ = ("buffer", "config", "encoder", "factory", "greeting", "max_block", "view")

    def __init__(self, config: Http2Config, factory: StreamFactory) -> None:
        self.config: Final = config
        self.factory: Final = factory
        self.encoder: Final = HeadEncoder()
        self.greeting: Final = own_settings(config) + (
            frames.window_update(0, config.connection_window - DEFAULT_WINDOW)
            if config.connection_window > DEFAULT_WINDOW
            else b""
        )
        self.max_block: Final = max_block_bytes(config.max_header_list)
        # One for all: between the loop's question for a buffer and its word that it is filled, no other
        # connection is read.
        self.buffer: Final = bytearray(max(_READ_BYTES, 2 * self.max_block))
        self.view: Final = memoryview(self.buffer)


class Loop(Protocol):
    """Of the event loop, what a connection uses."""

    def time(self) -> float: ...

    def call_soon(self, callback: Callable[[], object], /) -> object: ...

    def call_later(self, delay: float, callback: Callable[[], object], /) -> asyncio.TimerHandle: ...


class ConnectionOwner(Protocol):
    """Whom a connection belongs to."""

    def made(self, connection: "Connection", address: str) -> bool:
        """False = there are too many."""

    def lost(self, connection: "Connection") -> None: ...


class Connection(asyncio.BufferedProtocol):
    """Obeys onnxd.http2.incoming.Listening."""

    def __init__(self, shared: Shared, owner: ConnectionOwner, loop: Loop, spread: float) -> None:
        self._shared = shared
        self._config = shared.config
        self._owner = owner
        self._loop = loop
        self._spread = spread
        self._phase = Phase.PREFACE
        self._kept = b""
        """What has come of a frame, or of the preface, that is not whole."""
        self._reader = FrameReader(shared.config.max_frame, shared.max_block)
        self._kept_since_s = 0.0
        self._read_s = 0.0
        self._greeted = False
        self._last_said = False
        self._is_taken = False
        """Whether the socket has been seen to have taken all, after the last word."""
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self._outbox: Outbox
        self._incoming: Incoming
        self._watch: Watch
        self.peer = ""

    @property
    def peer_certificate(self) -> bytes | None:
        tls = self._transport.get_extra_info("ssl_object")
        certificate: bytes | None = None if tls is None else tls.getpeercert(binary_form=True)
        return certificate

    # Of asyncio.BufferedProtocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        transport = self._transport = cast(asyncio.Transport, transport)
        address, self.peer = _peer_of(transport)
        now_s = self._loop.time()
        self._read_s = now_s
        tls = transport.get_extra_info("ssl_object")
        self._outbox = Outbox(transport, self._loop.call_soon, joins=tls is not None)
        self._incoming = Incoming(
            self._config, self, self._outbox, self._shared.encoder, self._shared.factory, self._loop.time
        )
        self._watch = Watch(self._config, now_s, self._spread)
        transport.set_write_buffer_limits(_HIGH_WATER)
        self._timer = self._loop.call_later(self._config.check_interval_s, self._look)
        if not self._owner.made(self, address):
            self._outbox.control(self._shared.greeting)
            self._end(ErrorCode.ENHANCE_YOUR_CALM, "too many connections")
        elif tls is not None and tls.selected_alpn_protocol() != "h2":
            self._refuse_http1()

    def get_buffer(self, sizehint: int) -> memoryview:
        kept = self._kept
        if not kept:
            return self._shared.view
        size = len(kept)
        self._shared.buffer[:size] = kept
        return self._shared.view[size:]

    def buffer_updated(self, nbytes: int) -> None:
        self._read_s = self._loop.time()
        view = self._shared.view[: len(self._kept) + nbytes]
        if self._phase is not Phase.OPEN:
            if self._phase is not Phase.PREFACE:
                self._kept = b""
                return
            if not self._preface_received(view):
                return
            view = view[len(PREFACE) :]
        outbox = self._outbox
        outbox.hold()
        try:
            used = self._reader.read(view, self._incoming)
        except ConnectionFault as fault:
            self._end(fault.code, fault.text)
            return
        if used or not self._kept:
            self._kept_since_s = self._read_s
        self._kept = b"" if used == len(view) else bytes(view[used:])
        outbox.flush()
        if outbox.paused and outbox.unread_frames > _UNREAD_FRAMES + 2 * self._config.max_concurrent_streams:
            self.abort()

    def eof_received(self) -> bool:
        # The transport closes itself now, and says so when what it has is sent; more it would not take.
        self._outbox.close()
        return False

    def pause_writing(self) -> None:
        self._outbox.paused = True
        self._outbox.unread_frames = 0

    def resume_writing(self) -> None:
        self._outbox.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = Phase.LOST
        self._outbox.close()
        if self._timer is not None:
            self._timer.cancel()
        self._incoming.lose_all(ErrorCode.CANCEL)
        self._owner.lost(self)

    # Of Listening.

    def settings_received(self) -> None:
        self._greeted = True

    def pong_received(self, payload: bytes) -> bool:
        if payload == _GRACE_PING and self._watch.is_leaving:
            self._say_last()
            return True
        self._watch.pong()
        return payload == _PROBE

    def goaway_received(self) -> None:
        self.leave(math.inf)

    def stream_over(self) -> None:
        if self._last_said and self._phase is Phase.OPEN:
            self._close()

    # How it ends.

    def leave(self, grace_s: float, text: str = "") -> None:
        """Ask the client to begin no more streams, and end when those in progress have, or after `grace_s`
        seconds. In two steps, so that a stream that is on its way here is not lost."""
        if self._phase is Phase.PREFACE:
            self._close()
        elif self._phase is Phase.OPEN and not self._watch.is_leaving:
            self._watch.left(self._loop.time(), grace_s)
            self._outbox.control(frames.goaway(_LARGEST_ID, ErrorCode.NO_ERROR, text))
            self._outbox.control(frames.frame(frames.PING, 0, 0, _GRACE_PING))

    def abort(self) -> None:
        """Cut it: what is unsent is lost."""
        if self._phase is not Phase.LOST:
            self._phase = Phase.LOST
            _reset(self._transport)

    def _say_last(self) -> None:
        """The second step: the client has read the first, so what it began has arrived."""
        if self._last_said or self._phase is not Phase.OPEN:
            return
        self._last_said = True
        self._watch.said_last()
        table = self._incoming.table
        table.last_accepted = table.last_id
        self._outbox.control(frames.goaway(table.last_id, ErrorCode.NO_ERROR, ""))
        if not table.open:
            self._close()

    def _end(self, code: ErrorCode, text: str) -> None:
        """Say why, and end."""
        if self._phase in (Phase.CLOSING, Phase.LOST):
            return
        _log.debug("a connection was ended", peer=self.peer, code=code.name, reason=text)
        self._outbox.control(frames.goaway(self._incoming.table.last_id, code, text))
        self._close()
        self._incoming.lose_all(ErrorCode.CANCEL)

    def _close(self) -> None:
        """Nothing more is said. What still comes is read and dropped for a while: if it were left unread, the
        system would reset the connection, and the client might never read our last words."""
        self._phase = Phase.CLOSING
        self._kept = b""
        if self._timer is not None:
            self._timer.cancel()
        self._outbox.flush()
        self._outbox.close()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._is_taken = not self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(self._config.linger_timeout, self._linger)

    def _linger(self) -> None:
        """Close once all was taken and the client has had a moment for it; cut it when it takes nothing."""
        waiting_bytes = self._transport.get_write_buffer_size()
        if self._watch.is_stalled(self._loop.time(), waiting_bytes, self._outbox.handed_bytes):
            self.abort()
        elif waiting_bytes or not self._is_taken:
            self._is_taken = not waiting_bytes
            self._timer = self._loop.call_later(self._config.linger_timeout, self._linger)
        else:
            self._transport.close()

    def _preface_received(self, view: memoryview) -> bool:
        """Whether the preface is whole."""
        begins = bytes(view[: len(PREFACE)])
        if not PREFACE.startswith(begins):
            self._refuse_http1()
            return False
        if len(begins) < len(PREFACE):
            self._kept = begins
            return False
        self._kept = b""
        self._phase = Phase.OPEN
        self._outbox.control(self._shared.greeting)
        return True

    def _refuse_http1(self) -> None:
        """Whoever does not speak HTTP/2 most likely speaks HTTP/1.1, and can read this."""
        self._transport.write(_HTTP1_ANSWER)
        self._close()

    # Time.

    def _look(self) -> None:
        self._see_to_what_is_due(self._loop.time())
        if self._phase in (Phase.PREFACE, Phase.OPEN):
            self._timer = self._loop.call_later(self._config.check_interval_s, self._look)

    def _see_to_what_is_due(self, now_s: float) -> None:
        seen = Seen(
            read_s=self._read_s,
            greeted=self._greeted,
            unfinished_since_s=self._kept_since_s if self._kept else self._incoming.head_since_s,
            waiting_bytes=self._transport.get_write_buffer_size(),
            handed_bytes=self._outbox.handed_bytes,
            streams=len(self._incoming.table.open),
        )
        due = self._watch.look(now_s, seen)
        if due is Due.PROBE:
            self._outbox.control(frames.frame(frames.PING, 0, 0, _PROBE))
        elif due is Due.LEAVE:
            self.leave(self._config.max_connection_age_grace, "max_age")
        elif due is Due.LEAVE_NOW:
            self._say_last()
        elif due is Due.CALM:
            self._end(ErrorCode.ENHANCE_YOUR_CALM, "a head or a frame that does not end")
        elif due is Due.END:
            self.abort()
        if due is not Due.END and self._phase is Phase.OPEN:
            self._incoming.end_stalled(now_s)


_HTTP1_TEXT: Final = b"this port speaks HTTP/2 only\n"
_HTTP1_ANSWER: Final = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_HTTP1_TEXT), _HTTP1_TEXT)
)


def _peer_of(transport: asyncio.Transport) -> tuple[str, str]:
    """The address, and gRPC's name of the peer."""
    peer: Any = transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return "", "unix:"
    host, port = peer[0], peer[1]
    return host, f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


def _reset(transport: asyncio.Transport) -> None:
    """End a connection whose reader does not read. Closing it in order would wait until all is sent, in our
    buffer or, for minutes and out of our sight, in the kernel's."""
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
