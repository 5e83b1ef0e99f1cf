"""A stream in progress (RFC 9113 §5.1): open, or half-closed on either side. One that is over is not kept."""

from enum import Enum, auto
from typing import Protocol

from onnxd.http2.error_codes import ErrorCode
from onnxd.http2.frames import rst_stream, window_update
from onnxd.http2.head_block import HeadEncoder
from onnxd.http2.outbox import Outbox
from onnxd.http2.outgoing import Outgoing
from onnxd.http2.stream import Header, RequestHead, StreamHandler
from onnxd.http2.windows import ReceiveWindow


class Ending(Enum):
    """How a stream came to its end."""

    BOTH_ENDED = auto()
    RESET_BY_US = auto()
    """What is on its way here means nothing."""
    RESET_BY_CLIENT = auto()


class StreamOwner(Protocol):
    """What a stream asks of its connection."""

    peer: str
    encoder: HeadEncoder
    receive: ReceiveWindow

    @property
    def peer_certificate(self) -> bytes | None: ...

    def over(self, stream: "OpenStream", ending: Ending) -> None:
        """Forget it."""


class OpenStream(Outgoing):
    """Obeys onnxd.http2.stream.Stream."""

    __slots__ = (
        "_owner",
        "_receive",
        "_sender",
        "handler",
        "head",
        "is_over",
        "received_bytes",
        "remote_ended",
        "unconsumed_bytes",
    )

    handler: StreamHandler

    def __init__(
        self, stream_id: int, head: RequestHead, owner: StreamOwner, outbox: Outbox, window_bytes: int
    ) -> None:
        super().__init__(stream_id, outbox, outbox.peer.window)
        self.head = head
        self._owner = owner
        self._sender = outbox
        self._receive = ReceiveWindow(window_bytes)
        self.remote_ended = False
        """Whether the caller has said all."""
        self.received_bytes = 0
        self.unconsumed_bytes = 0
        self.is_over = False

    @property
    def headers(self) -> list[Header]:
        return self.head.headers

    @property
    def peer(self) -> str:
        return self._owner.peer

    @property
    def peer_certificate(self) -> bytes | None:
        return self._owner.peer_certificate

    def send_headers(self, headers: list[Header], *, end: bool = False) -> None:
        if not self.said_all:
            self.send_block(self._owner.encoder.encode(headers), end=end)

    def receives(self, frame_bytes: int) -> bool:
        """Data has come; False = more than the window allowed."""
        return self._receive.take(frame_bytes)

    def consumed(self, count: int) -> None:
        count = min(count, self.unconsumed_bytes)
        self.unconsumed_bytes -= count
        self.give_back(count)

    def give_back(self, count: int) -> None:
        """Bytes of both windows that nobody will consume, or that somebody has."""
        increment = self._owner.receive.give_back(count)
        if increment:
            self._sender.control(window_update(0, increment))
        if not self.remote_ended and not self.is_over:
            increment = self._receive.give_back(count)
            if increment:
                self._sender.control(window_update(self.stream_id, increment))

    def reset(self, code: int) -> None:
        if not self.is_over:
            self._sender.control(rst_stream(self.stream_id, code))
            self.end(Ending.RESET_BY_US)

    def sent_all(self) -> None:
        if self.is_over:
            return
        if self.remote_ended:
            self.end(Ending.BOTH_ENDED)
        else:
            # The answer is whole, so the rest of the request is of no use (§8.1).
            self.reset(ErrorCode.NO_ERROR)

    def end(self, ending: Ending) -> None:
        """It is over, whoever ended it."""
        self.is_over = True
        self.drop_unsent()
        if self.unconsumed_bytes:
            count, self.unconsumed_bytes = self.unconsumed_bytes, 0
            self.give_back(count)
        self._owner.over(self, ending)
