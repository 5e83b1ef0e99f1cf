"""What HTTP/2 offers to the protocol above it, and asks of it: one stream, from its head to its end.

The connection parses, bounds and schedules; it knows nothing of gRPC. All calls are made on the loop's
thread, and none of them blocks.
"""

from typing import Protocol

Header = tuple[bytes, bytes]
"""Name in lower case, value; pseudo-headers (`:path`) come first (RFC 9113 §8.3)."""


class RequestHead:
    """A request's headers. Clients repeat themselves, so streams may share one: it must not be changed."""

    __slots__ = ("content_length", "headers", "memo", "truncated")

    def __init__(self, headers: list[Header], content_length: int = -1, *, truncated: bool = False) -> None:
        self.headers = headers
        """Well-formed by RFC 9113 §8: `:method`, `:scheme` and `:path` are there, or `:method` is CONNECT."""
        self.content_length = content_length
        """Of the body in bytes, which the connection enforces; -1 = not said."""
        self.truncated = truncated
        """Whether there were more than the connection's limit takes."""
        self.memo: object = None
        """For the protocol above: what it made of this head, found again with the next stream that has it."""


class Stream(Protocol):
    """The answering side of one stream (RFC 9113 §5). What is sent after its end or reset goes nowhere."""

    @property
    def head(self) -> RequestHead:
        """The request's."""
        ...

    @property
    def headers(self) -> list[Header]:
        """The request's, decoded and within the limits of the connection: those of `head`."""
        ...

    @property
    def peer(self) -> str:
        """Who is connected, as gRPC writes it: `ipv4:127.0.0.1:50000`, `ipv6:[::1]:50000`."""
        ...

    @property
    def peer_certificate(self) -> bytes | None:
        """The client's certificate in DER; None without TLS, or without one."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """Of this stream's data that the caller's windows or socket have not taken yet."""
        ...

    def send_headers(self, headers: list[Header], *, end: bool = False) -> None:
        """The answer's head, its trailers, or both at once."""
        ...

    def send_data(self, parts: list[bytes | memoryview], *, end: bool = False) -> None:
        """Data, which must not change until it is sent. Queued within the flow control; never refused: who
        sends much waits for `room` first."""
        ...

    def send_block(self, block: bytes, *, end: bool = False) -> None:
        """As send_headers, of a list that `head_block.encode_block` has encoded: it is good for ever, on
        every connection."""
        ...

    def answer(self, head: bytes, parts: list[bytes | memoryview], trailers: bytes) -> None:
        """A whole answer: send_block, send_data and send_block, for less than the three cost."""
        ...

    async def room(self) -> None:
        """Wait until little of this stream's data is unsent. Returns at once when the stream is over."""
        ...

    def consumed(self, count: int) -> None:
        """Give the caller so many bytes of its window back. What is not given back holds the caller."""
        ...

    def reset(self, code: int) -> None:
        """End the stream with RST_STREAM (RFC 9113 §7)."""
        ...


class StreamHandler(Protocol):
    """The protocol above, for one stream. It does not raise: what it raises is its bug, ends the stream with
    INTERNAL_ERROR, and is logged."""

    def data_received(self, data: bytes | memoryview) -> None:
        """Bytes of the body, padding removed; a view is good only until this returns."""
        ...

    def end_received(self, trailers: list[Header]) -> None:
        """The caller has said all."""
        ...

    def lost(self, code: int) -> None:
        """The stream is over before its answer was: the caller's RST_STREAM with this code, or its connection
        is gone (CANCEL). Called at most once, and never after the answer's end was sent."""
        ...


class StreamFactory(Protocol):
    """Makes the handler of a stream whose head has arrived."""

    def __call__(self, stream: Stream) -> StreamHandler: ...
