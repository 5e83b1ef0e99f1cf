"""What an operator can set about the gRPC listener."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from onnxd.units import Bytes, Seconds


@dataclass(frozen=True, slots=True)
class GrpcConfig:
    """The gRPC listener and its bounds."""

    port: Annotated[int, Ge(0), Le(65535)] = 8001
    """The port; 0 = any that is free."""
    transport: Literal["native", "grpcio"] = "native"
    """What carries the calls: our own HTTP/2 (native), or the library of the gRPC project (grpcio)."""
    max_connections: Annotated[int, Gt(0)] = 8192
    """Connections at one time; one more is closed. Native only: grpcio has no bound."""
    max_connections_per_address: Annotated[int, Ge(0)] = 0
    """The same of one address (of IPv6: of one /64); 0 = no bound, as is right behind a proxy. Native
    only."""
    write_timeout: Seconds = 60.0
    """How long an answer may stay unread before its call, or connection, ends. Native only: with grpcio the
    call's deadline is what ends it."""
    reflection: bool = True
    """Whether clients such as grpcurl may ask which services and messages there are."""
    max_message: Bytes = 64 * 2**20
    """The largest message received, after decompression; -1 = no limit."""
    max_metadata: Annotated[int, Gt(0)] = 16 * 2**10
    """Bytes of request metadata; more is refused by the transport."""
    max_concurrent_streams: Annotated[int, Gt(0)] = 2048
    """Calls in progress on one connection. More wait at the client, or gRPC refuses them as unavailable and
    does not say when to come again; so this is more than a model's queue holds, whose refusal does."""
    max_stream_in_flight: Annotated[int, Gt(0)] = 64
    """Requests of one ModelStreamInfer stream that are being worked on; the rest are not read yet."""
    response_compression: Literal["none", "gzip", "deflate"] = "none"
    """How answers to inference are compressed, for callers that read it; the other of the two where that is
    all they read. Requests may come compressed in any case."""
    keepalive_time: Seconds = 60.0
    """After how much silence a connection is probed."""
    keepalive_timeout: Seconds = 20.0
    """How long a probe may go unanswered before the connection is closed."""
    keepalive_without_calls: bool = False
    """Whether connections without a call in progress are probed, and may probe as often as others."""
    min_ping_interval: Seconds = 10.0
    """How often a connection may probe the server; one that does so more than twice too often is closed."""
    max_connection_age: Seconds = 1800.0
    """When a connection is asked to go, so that clients spread over replicas; its calls finish."""
    max_connection_age_grace: Seconds = 300.0
    """How long the calls of such a connection have to finish."""
