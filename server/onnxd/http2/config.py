"""The bounds of the HTTP/2 transport."""

from dataclasses import dataclass
from typing import Annotated, Final

from annotated_types import Ge, Gt, Le

from onnxd.units import Bytes, Seconds

DEFAULT_WINDOW: Final = 65535
"""Of a stream and of a connection, before anybody has said otherwise (RFC 9113 §6.9.2)."""
DEFAULT_FRAME: Final = 16384
"""The largest payload of a frame, before the other side has allowed more (§6.5.2)."""
LARGEST_WINDOW: Final = 2**31 - 1
LARGEST_FRAME: Final = 2**24 - 1


@dataclass(frozen=True, slots=True)
class Http2Config:
    """One listener's bounds; each is of one connection, unless it says otherwise."""

    max_concurrent_streams: Annotated[int, Gt(0)] = 2048
    """Streams in progress; one more is refused with REFUSED_STREAM."""
    max_header_list: Annotated[int, Gt(0)] = 16 * 2**10
    """Bytes of the headers of a request, as SETTINGS_MAX_HEADER_LIST_SIZE counts them (32 more for each). One
    that is larger reaches its handler cut short, so that it can say so; one of eight times that ends the
    connection."""
    stream_window: Annotated[Bytes, Ge(DEFAULT_WINDOW), Le(LARGEST_WINDOW)] = 2**20
    """Bytes of one stream that its handler has not consumed."""
    connection_window: Annotated[Bytes, Ge(DEFAULT_WINDOW), Le(LARGEST_WINDOW)] = 4 * 2**20
    """The same of all its streams."""
    max_frame: Annotated[Bytes, Ge(DEFAULT_FRAME), Le(LARGEST_FRAME)] = 256 * 2**10
    """The largest payload of a frame received. Data is handed on as it comes, so this costs no memory."""
    handshake_timeout: Seconds = 10.0
    """From the connection to the client's first SETTINGS; TLS has as long before. And from the first
    octet of a frame, or the first frame of a head, to its last. Data is handed on as it comes."""
    write_timeout: Seconds = 60.0
    """How long a client may take nothing of what waits for it: of the socket's buffer (the connection ends),
    or of a stream by its window (the stream ends)."""
    linger_timeout: Seconds = 2.0
    """How long a connection that ends waits for the client to have read why."""
    keepalive_time: Seconds = 60.0
    """After how much silence a connection is probed with PING."""
    keepalive_timeout: Seconds = 20.0
    """How long a probe may go unanswered before the connection ends."""
    keepalive_without_calls: bool = False
    """Whether connections without a stream are probed, and may probe as often as others."""
    min_ping_interval: Seconds = 10.0
    """How often a client may probe; one that does so more than twice too often is sent away."""
    max_connection_age: Seconds = 1800.0
    """When a connection is asked to go. Each draws its own, up to a tenth more or less."""
    max_connection_age_grace: Seconds = 300.0
    """How long the streams of such a connection have to finish."""
    max_resets: Annotated[int, Gt(0)] = 4096
    """Streams in a row that end by a reset or a refusal, before as much time has passed as allows more."""
    resets_per_second: Annotated[float, Gt(0)] = 200.0
    """How many more each second allows."""
    max_connections: Annotated[int, Gt(0)] = 8192
    """Of the listener at one time; one more is sent away with ENHANCE_YOUR_CALM."""
    max_connections_per_address: Annotated[int, Ge(0)] = 0
    """The same of one address; 0 = no limit, as is right behind a proxy."""
    backlog: Annotated[int, Gt(0)] = 1024
    """Connections that the system may hold for the listener to accept."""

    @property
    def check_interval_s(self) -> float:
        """How often a connection looks at its deadlines: each of them is late by at most a quarter."""
        shortest = min(
            self.handshake_timeout,
            self.write_timeout,
            self.keepalive_time,
            self.keepalive_timeout,
            self.max_connection_age,
            self.max_connection_age_grace,
        )
        return min(5.0, max(0.005, shortest / 4))
