"""What each frame means to a connection (RFC 9113 §5, §6 and §8): the rules, and the code for each breach."""

from collections.abc import Callable
from typing import Final, Protocol

import structlog

from onnxd.http2 import frames
from onnxd.http2.abuse import Allowance, PingStrikes, Useless, settings_allowance
from onnxd.http2.config import Http2Config
from onnxd.http2.error_codes import ConnectionFault, ErrorCode
from onnxd.http2.field_rules import Malformed
from onnxd.http2.frames import ACK, END_STREAM, unpack_word
from onnxd.http2.head_assembly import HeadAssembly
from onnxd.http2.head_block import HeadDecoder, HeadEncoder, max_block_bytes
from onnxd.http2.open_stream import Ending, OpenStream
from onnxd.http2.outbox import Outbox
from onnxd.http2.stream import StreamFactory
from onnxd.http2.stream_table import StreamTable
from onnxd.http2.windows import ReceiveWindow

_log = structlog.get_logger(__name__)

_BYTES_OF_WORK: Final = 1024
"""As many bytes sent are worth as much as a frame: a client may give windows back in small steps."""


class Listening(Protocol):
    """What the rules ask of the connection that they are for."""

    peer: str

    @property
    def peer_certificate(self) -> bytes | None: ...

    def settings_received(self) -> None:
        """The client's first."""

    def pong_received(self, payload: bytes) -> bool:
        """An answer to PING; False = to none that was sent."""

    def goaway_received(self) -> None:
        """The client will begin no more streams."""

    def stream_over(self) -> None:
        """There is one stream fewer."""


class Incoming:
    """Obeys FrameReceiver, and StreamOwner for the streams that it makes."""

    def __init__(
        self,
        config: Http2Config,
        connection: Listening,
        outbox: Outbox,
        encoder: HeadEncoder,
        factory: StreamFactory,
        now_s: Callable[[], float],
    ) -> None:
        self._config = config
        self._connection = connection
        self._outbox = outbox
        self._factory = factory
        self._now_s = now_s
        self._window_bytes = config.stream_window
        self._decoder = HeadDecoder(config.max_header_list)
        self._assembly = HeadAssembly(max_block_bytes(config.max_header_list))
        self._resets = Allowance(config.max_resets, config.resets_per_second)
        self._settings = settings_allowance()
        self._strikes = PingStrikes(config.min_ping_interval, without_calls=config.keepalive_without_calls)
        self._useless = Useless()
        self._greeted = False
        self.table = StreamTable(config.max_concurrent_streams)
        self._open = self.table.open
        self.head_since_s: float | None = None
        """When a head began whose end has not come."""
        self.peer = connection.peer
        self.encoder = encoder
        self.receive = ReceiveWindow(config.connection_window)

    @property
    def peer_certificate(self) -> bytes | None:
        return self._connection.peer_certificate

    def over(self, stream: OpenStream, ending: Ending) -> None:
        self.table.over(stream.stream_id, ending)
        if not self._open:
            self._connection.stream_over()

    def lose_all(self, code: ErrorCode) -> None:
        """The connection is gone, or has to be."""
        for stream in tuple(self._open.values()):
            self._lose(stream, code, Ending.RESET_BY_US)

    # DATA, which is most of what comes.

    def data(self, flags: int, stream_id: int, part: memoryview, frame_bytes: int, padding: int) -> None:
        if not self._greeted or self._assembly.stream_id:
            self._out_of_place("DATA")
        if frame_bytes and not self.receive.take(frame_bytes):
            raise ConnectionFault(
                ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window allows"
            )
        stream = self._open.get(stream_id)
        if stream is None or stream.remote_ended:
            self._data_of_none(stream_id, stream, frame_bytes)
            if not part:
                self._count_useless("empty DATA")
            return
        size = len(part)
        stream.received_bytes += size
        stream.unconsumed_bytes += size
        length = stream.head.content_length
        if frame_bytes and not stream.receives(frame_bytes):
            self._fault(stream, ErrorCode.FLOW_CONTROL_ERROR)
            return
        if padding:
            stream.give_back(padding)
        if flags & END_STREAM:
            if length >= 0 and stream.received_bytes != length:
                self._fault(stream, ErrorCode.PROTOCOL_ERROR)
                return
            stream.remote_ended = True
        elif 0 <= length < stream.received_bytes:
            self._fault(stream, ErrorCode.PROTOCOL_ERROR)
            return
        elif not size:
            self._count_useless("empty DATA")
        try:
            if size:
                stream.handler.data_received(part)
            if flags & END_STREAM and not stream.is_over:
                stream.handler.end_received([])
        except Exception:  # a bug of the handler's, which must not take other streams with it
            self._handler_failed(stream)

    def _data_of_none(self, stream_id: int, stream: OpenStream | None, frame_bytes: int) -> None:
        """DATA on a stream that takes none."""
        if stream is None:
            self.table.require_used(stream_id, "DATA")
            if not self.table.is_on_its_way(stream_id, "DATA"):
                self._refuse(stream_id, ErrorCode.STREAM_CLOSED)
        increment = self.receive.give_back(frame_bytes)
        if increment:
            self._outbox.control(frames.window_update(0, increment))
        if stream is not None:
            self._fault(stream, ErrorCode.STREAM_CLOSED)

    # Everything else.

    def frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if not self._greeted and (kind != frames.SETTINGS or flags & ACK):
            self._out_of_place("a frame that is not SETTINGS")
        begun = self._assembly.stream_id
        if begun and (kind != frames.CONTINUATION or stream_id != begun):
            self._out_of_place("another frame")
        if kind == frames.HEADERS:
            self._headers(flags, stream_id, payload)
        elif kind > frames.CONTINUATION:
            self._count_useless("frames of unknown kinds")
        else:
            _HANDLERS[kind](self, flags, stream_id, payload)

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id & 1:
            raise ConnectionFault(
                ErrorCode.PROTOCOL_ERROR, f"HEADERS on stream {stream_id}, which is not odd"
            )
        block = self._assembly.begin(flags, stream_id, payload)
        if block is None:
            self.head_since_s = self._now_s()
        else:
            self._head_received(flags, stream_id, block)

    def _continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = self._assembly.go_on(flags, payload)
        if block is not None:
            self.head_since_s = None
            self._head_received(self._assembly.flags, stream_id, block)

    def _head_received(self, flags: int, stream_id: int, block: bytes) -> None:
        stream = self._open.get(stream_id)
        if stream is not None:
            self._trailers(stream, flags, block)
            return
        table = self.table
        if stream_id <= table.last_id:
            self._decoder.skip(block)
            if not table.is_on_its_way(stream_id, "HEADERS"):
                self._refuse(stream_id, ErrorCode.STREAM_CLOSED)
            return
        table.last_id = stream_id
        if stream_id > table.last_accepted:
            self._decoder.skip(block)
            self._count_useless("streams after GOAWAY")
            return
        if len(self._open) >= self._config.max_concurrent_streams:
            self._decoder.skip(block)
            self._refuse(stream_id, ErrorCode.REFUSED_STREAM)
            return
        try:
            head = self._decoder.head(block)
        except Malformed:
            self._refuse(stream_id, ErrorCode.PROTOCOL_ERROR)
            return
        ended = flags & END_STREAM
        if ended and head.content_length > 0:
            self._refuse(stream_id, ErrorCode.PROTOCOL_ERROR)
            return
        stream = OpenStream(stream_id, head, self, self._outbox, self._window_bytes)
        self._open[stream_id] = stream
        if ended:
            stream.remote_ended = True
        try:
            stream.handler = self._factory(stream)
            if ended and not stream.is_over:
                stream.handler.end_received([])
        except Exception:  # as with data
            self._handler_failed(stream)

    def _trailers(self, stream: OpenStream, flags: int, block: bytes) -> None:
        if stream.remote_ended:
            self._decoder.skip(block)
            self._fault(stream, ErrorCode.STREAM_CLOSED)
            return
        try:
            trailers = self._decoder.trailers(block)
        except Malformed:
            self._fault(stream, ErrorCode.PROTOCOL_ERROR)
            return
        length = stream.head.content_length
        if not flags & END_STREAM or 0 <= length != stream.received_bytes:
            self._fault(stream, ErrorCode.PROTOCOL_ERROR)
            return
        stream.remote_ended = True
        try:
            stream.handler.end_received(trailers)
        except Exception:  # as with data
            self._handler_failed(stream)

    def _priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(payload) != 5:
            stream = self._open.get(stream_id)
            if stream is None:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not of 5 bytes")
            self._fault(stream, ErrorCode.FRAME_SIZE_ERROR)
        self._count_useless("PRIORITY")

    def _rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on stream 0")
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM is not of 4 bytes")
        stream = self._open.get(stream_id)
        if stream is None:
            self.table.require_used(stream_id, "RST_STREAM")
            self._count_useless("RST_STREAM")
            return
        self._count_reset()
        (code,) = unpack_word(payload)
        self._lose(stream, code, Ending.RESET_BY_CLIENT)

    def _settings_frame(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & ACK:
            if payload:
                raise ConnectionFault(
                    ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement of SETTINGS with settings"
                )
            self._count_useless("acknowledgements")
            return
        if not self._settings.take(self._now_s()):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too_many_settings")
        grows = self._outbox.apply_settings(payload)
        self._outbox.control(frames.frame(frames.SETTINGS, ACK, 0))
        if grows:
            for stream in tuple(self._open.values()):
                if not self._outbox.grow_stream(stream, grows):
                    raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS makes a window too large")
        if not self._greeted:
            self._greeted = True
            self._connection.settings_received()

    def _push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client may not push")

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING is not of 8 bytes")
        if flags & ACK:
            if not self._connection.pong_received(payload):
                self._count_useless("acknowledgements")
            return
        sent = self._outbox.sent_frames
        if not self._strikes.take(self._now_s(), streams=len(self._open), sent_frames=sent):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")
        self._outbox.control(frames.frame(frames.PING, ACK, 0, payload))

    def _goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY is shorter than 8 bytes")
        self._count_useless("GOAWAY")
        self._connection.goaway_received()

    def _window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE is not of 4 bytes")
        increment = unpack_word(payload)[0] & 0x7FFFFFFF
        self._count_useless("WINDOW_UPDATE")
        if not stream_id:
            if not increment:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
            if not self._outbox.grow(increment):
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is too large")
            return
        stream = self._open.get(stream_id)
        if stream is None:
            self.table.require_used(stream_id, "WINDOW_UPDATE")
        elif not increment:
            self._fault(stream, ErrorCode.PROTOCOL_ERROR)
        elif not self._outbox.grow_stream(stream, increment):
            self._fault(stream, ErrorCode.FLOW_CONTROL_ERROR)

    # How streams end that do not end well.

    def end_stalled(self, now_s: float) -> None:
        """End the streams whose client has taken nothing of what waits for it for too long."""
        for stream in tuple(self._open.values()):
            if stream.is_stalled(now_s, self._config.write_timeout):
                self._end_stream(stream, ErrorCode.CANCEL)

    def _fault(self, stream: OpenStream, code: ErrorCode) -> None:
        """The client broke a rule of this stream. Such resets count as its own do: they cost as much."""
        self._count_reset()
        self._end_stream(stream, code)

    def _end_stream(self, stream: OpenStream, code: ErrorCode) -> None:
        self._outbox.control(frames.rst_stream(stream.stream_id, code))
        self._lose(stream, code, Ending.RESET_BY_US)

    def _refuse(self, stream_id: int, code: ErrorCode) -> None:
        """A stream that never began, or goes on after its end."""
        self._count_reset()
        self._outbox.control(frames.rst_stream(stream_id, code))
        self.table.over(stream_id, Ending.RESET_BY_US)

    def _lose(self, stream: OpenStream, code: int, ending: Ending) -> None:
        stream.end(ending)
        try:
            stream.handler.lost(code)
        except Exception:  # as with data; the stream is over already
            _log.exception("a handler failed as its stream was lost")

    def _handler_failed(self, stream: OpenStream) -> None:
        _log.exception("a handler failed")
        stream.reset(ErrorCode.INTERNAL_ERROR)

    def _count_reset(self) -> None:
        if not self._resets.take(self._now_s()):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too_many_resets")

    def _count_useless(self, what: str) -> None:
        outbox = self._outbox
        work = self.table.last_id + outbox.sent_frames + outbox.handed_bytes // _BYTES_OF_WORK
        if not self._useless.take(work):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"too much of little use, at last {what}")

    def _out_of_place(self, what: str) -> None:
        where = "in the middle of a head" if self._assembly.stream_id else "before SETTINGS"
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{what} {where}")


_HANDLERS: Final = {
    frames.PRIORITY: Incoming._priority,
    frames.RST_STREAM: Incoming._rst_stream,
    frames.SETTINGS: Incoming._settings_frame,
    frames.PUSH_PROMISE: Incoming._push_promise,
    frames.PING: Incoming._ping,
    frames.GOAWAY: Incoming._goaway,
    frames.WINDOW_UPDATE: Incoming._window_update,
    frames.CONTINUATION: Incoming._continuation,
}
