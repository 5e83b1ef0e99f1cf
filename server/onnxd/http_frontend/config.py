"""What an operator can set about the HTTP listeners."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from onnxd.units import Bytes, Seconds


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The HTTP listener and its bounds."""

    port: Annotated[int, Ge(0), Le(65535)] = 8000
    """The port; 0 = any that is free."""
    max_body: Bytes = 64 * 2**20
    """The largest body received, before and after decompression; -1 = no limit."""
    body_timeout: Seconds = 10.0
    """How long a body may take, beyond what the minimum rate allows for the bytes that have come."""
    min_rate: Bytes = 64 * 2**10
    """Bytes a second that a client must send of a body and take of an answer, beyond the timeouts."""
    keepalive_timeout: Seconds = 75.0
    """How long a connection may be without a complete request head: the first one, or the next."""
    write_timeout: Seconds = 60.0
    """How long a client may leave an answer unread before its connection is cut."""
    linger_timeout: Seconds = 2.0
    """How long the rest of a refused body is read and dropped, so that the client reads the refusal."""
    max_connections: Annotated[int, Gt(0)] = 8192
    """Connections at one time; one more is answered 503 and closed."""
    max_connections_per_address: Annotated[int, Ge(0)] = 0
    """Connections of one address (with IPv6, of one network of 64 bits) at one time; one more is answered 429
    and closed. 0 = no limit, as is right behind a proxy."""
    max_chunks: Annotated[int, Gt(0)] = 65536
    """Chunks of one body with chunked transfer coding: tiny chunks cost time, not memory."""
    lane: bool = True
    """Whether inference requests of the usual form take the short way from the socket to the codec. With
    false aiohttp answers them, as it does all else: the same, but slower."""
    backlog: Annotated[int, Gt(0)] = 1024
    """Connections that the system may hold for the server to accept."""


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """The metrics for Prometheus: GET /metrics on the HTTP port, and on a port of their own."""

    enabled: bool = True
    """Whether there are any; with false, neither port answers."""
    port: Annotated[int, Ge(0), Le(65535)] | None = None
    """The port of their own; unset = 8002 unless another program has it, 0 = any that is free."""
