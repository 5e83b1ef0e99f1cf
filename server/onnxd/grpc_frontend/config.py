"""What an operator can set about the gRPC listener."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le

from onnxd.units import Bytes, Seconds


@dataclass(frozen=True, slots=True)
class GrpcConfig:
    """The gRPC listener and its bounds."""

    port: Annotated[int, Ge(0), Le(65535)] = 8001
    """The port; 0 = any that is free."""
    reflection: bool = True
    """Whether clients such as grpcurl may ask which services and messages there are."""
    max_message: Bytes = 64 * 2**20
    """The largest message received, after decompression; -1 = no limit."""
    max_metadata: Annotated[int, Gt(0)] = 16 * 2**10
    """Bytes of request metadata; more is refused by the transport."""
    max_concurrent_streams: Annotated[int, Gt(0)] = 128
    """Calls in progress on one connection; more wait at the client."""
    max_stream_in_flight: Annotated[int, Gt(0)] = 64
    """Requests of one ModelStreamInfer stream that are being worked on; the rest are not read yet."""
    keepalive_time: Seconds = 60.0
    """After how much silence a connection is probed."""
    max_connection_age: Seconds = 1800.0
    """When a connection is asked to go, so that clients spread over replicas; its calls finish."""
    max_connection_age_grace: Seconds = 300.0
    """How long the calls of such a connection have to finish."""
