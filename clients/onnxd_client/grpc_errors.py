"""From gRPC codes to our errors: the one table of this wire, and when the server wants us back."""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import grpc

from onnxd_client.errors import (
    ConnectFailed,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerError,
    ServerFault,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

PUSHBACK: Final = "grpc-retry-pushback-ms"
DETAILS: Final = "grpc-status-details-bin"
Metadata = Sequence[tuple[str, str | bytes]]

ERRORS: Final[Mapping[grpc.StatusCode, type[ServerError]]] = MappingProxyType(
    {
        grpc.StatusCode.CANCELLED: ServerFault,
        grpc.StatusCode.UNKNOWN: ServerFault,
        grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
        grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
        grpc.StatusCode.NOT_FOUND: NotFound,
        grpc.StatusCode.ALREADY_EXISTS: InvalidRequest,
        grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
        # Without a hint; with one it is RateLimited: see error_class.
        grpc.StatusCode.RESOURCE_EXHAUSTED: TooLarge,
        grpc.StatusCode.FAILED_PRECONDITION: InvalidRequest,
        grpc.StatusCode.ABORTED: Unavailable,
        grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
        grpc.StatusCode.UNIMPLEMENTED: InvalidRequest,
        grpc.StatusCode.INTERNAL: ServerFault,
        grpc.StatusCode.UNAVAILABLE: Unavailable,
        grpc.StatusCode.DATA_LOSS: ServerFault,
        grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    }
)

# Words of gRPC's core for a call that never left: the code is UNAVAILABLE as well, and nothing else tells.
_NEVER_CONNECTED: Final = (
    "failed to connect to all addresses",
    "DNS resolution failed",
    "Name resolution failed",
)


def error_from_status(code: grpc.StatusCode, details: str, trailing: Metadata) -> ServerError:
    """The error of a call that ended with any code other than OK."""
    hint = retry_after(trailing)
    found = error_class(code, details, hint)
    return found(details or f"gRPC {code.name}", retry_after=hint, status=f"gRPC {code.name}")


def error_class(code: grpc.StatusCode, details: str, hint: float | None) -> type[ServerError]:
    """RESOURCE_EXHAUSTED says both "too much" and "too often": only the latter comes with a time."""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and hint is not None:
        return RateLimited
    if code is grpc.StatusCode.UNAVAILABLE and details.startswith(_NEVER_CONNECTED):
        return ConnectFailed
    return ERRORS.get(code, ServerFault)


def retry_after(trailing: Metadata) -> float | None:
    """Seconds from the pushback key or from google.rpc.RetryInfo; infinity = do not retry; None = neither."""
    found: float | None = None
    for key, value in trailing:
        if key == PUSHBACK:
            return _pushback(value)
        if key == DETAILS and isinstance(value, bytes):
            found = _retry_info(value)
    return found


def _pushback(value: str | bytes) -> float:
    # gRPC's rule: negative or unreadable means that the server asks for no retry at all.
    try:
        milliseconds = int(value)
    except ValueError:
        return math.inf
    return milliseconds / 1000 if milliseconds >= 0 else math.inf


def _retry_info(status: bytes) -> float | None:
    """retry_delay of the first RetryInfo in a serialized google.rpc.Status.

    Read by hand: the generated classes live in a distribution of their own, and four nested fields are all
    that is needed. Status.details = 3, Any.type_url = 1, Any.value = 2, RetryInfo.retry_delay = 1,
    Duration.seconds = 1, Duration.nanos = 2.
    """
    try:
        for number, detail in _fields(status):
            if number != 3 or not isinstance(detail, bytes):
                continue
            parts = dict(_fields(detail))
            name, value = parts.get(1), parts.get(2, b"")
            if not (
                isinstance(name, bytes)
                and name.endswith(b"/google.rpc.RetryInfo")
                and isinstance(value, bytes)
            ):
                continue
            delay = dict(_fields(value)).get(1, b"")
            duration = dict(_fields(delay)) if isinstance(delay, bytes) else {}
            seconds, nanos = duration.get(1, 0), duration.get(2, 0)
            if isinstance(seconds, int) and isinstance(nanos, int) and seconds < 1 << 63:
                return seconds + nanos / 1e9
    except IndexError:
        return None
    return None


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Every field of a serialized message: (number, value). Raises IndexError when it is cut short."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, position = _varint(data, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise IndexError(f"wire type {kind}")
        if position + length > len(data):
            raise IndexError("cut short")
        yield tag >> 3, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise IndexError("a varint of more than ten bytes")
