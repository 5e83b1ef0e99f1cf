"""What both colours of the gRPC transport share: channel options, trust, and how a call's headers travel."""

import math
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import grpc

from onnxd_client.address import Address
from onnxd_client.errors import DeadlineExceeded, InvalidRequest, ServerError
from onnxd_client.grpc_errors import error_from_status

STREAM_HEADERS: Final = {"triton_grpc_error": "true"}
"""Asks servers that can to end a failed stream with a code, instead of a text without one."""

_NAME: Final = re.compile(r"[0-9a-z_.-]+(?<!-bin)")


def options(address: Address) -> list[tuple[str, Any]]:
    settings: dict[str, Any] = {
        "grpc.max_send_message_length": -1,
        "grpc.max_receive_message_length": -1,
        # The strictest default of servers: pinging an idle call more often gets the connection closed.
        "grpc.keepalive_time_ms": 300_000,
        "grpc.keepalive_timeout_ms": 20_000,
        # Our own retries know the deadline and the budget; two layers would multiply.
        "grpc.enable_retries": 0,
        # Otherwise retries within the first second only hear again that the first connect failed.
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 10_000,
        # Closing the client must close its connections, which a pool of the whole process would keep.
        "grpc.use_local_subchannel_pool": 1,
        "grpc.primary_user_agent": f"onnxd-client/{version('onnxd-client')}",
        "grpc.enable_http_proxy": int(not address.loopback),
    }
    return list(settings.items())


def credentials(ca_file: str | None) -> grpc.ChannelCredentials:
    """The certificates to believe: gRPC's own bundle, or only those of the file."""
    return grpc.ssl_channel_credentials(Path(ca_file).read_bytes() if ca_file else None)


def metadata(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Raises InvalidRequest for a name that gRPC cannot carry as text."""
    for name in headers:
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"header {name!r}: expected letters, digits and _.- only, and no -bin at the end"
            )
    return tuple(headers.items())


def timeout(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds


def failure(address: Address, code: grpc.StatusCode, details: str | None, trailing: Any) -> ServerError:
    """`trailing` is the trailing metadata of either colour, or None."""
    error = error_from_status(code, details or "", [(key, value) for key, value in trailing or ()])
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and "Deadline Exceeded" in (details or ""):
        # gRPC's own words, when the deadline passed on this side.
        return DeadlineExceeded(f"{address}: no answer within the deadline", status=error.status)
    return error
