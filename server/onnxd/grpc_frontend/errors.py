"""Errors as gRPC sees them: one table, and the trailers that go with it."""

import math
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from onnxd import errors
from onnxd.errors import ServerError

STATUS: Final[dict[type[ServerError], grpc.StatusCode]] = {
    errors.ServerError: grpc.StatusCode.INTERNAL,
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.PayloadTooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.UnsupportedEncoding: grpc.StatusCode.UNIMPLEMENTED,
    errors.RequestTooSlow: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.NotSupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.RateLimited: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.LoadFailed: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ExecutionFailed: grpc.StatusCode.INTERNAL,
    errors.ModelProcessDied: grpc.StatusCode.INTERNAL,
}
"""By the most specific class: a subclass that is not here has its parent's code."""

_DETAILS_KEY: Final = "grpc-status-details-bin"
_MAX_DETAILS_BYTES: Final = 3072
"""Of the text as it is sent. Trailers of more than 8 KiB make clients report RESOURCE_EXHAUSTED instead, and
the text is in them twice when there is a RetryInfo."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call ends that is not answered. Holds no exception, and so nothing that its frames hold."""

    status: grpc.StatusCode
    details: str
    trailers: tuple[tuple[str, bytes], ...] = ()


def refusal_of(error: ServerError) -> Refusal:
    """How a call ends that raised this error."""
    status = status_of(error)
    details = _cut(error.message)
    return Refusal(status, details, _trailers(status, details, error.retry_after_s))


def status_of(error: ServerError) -> grpc.StatusCode:
    """The code of an error, by the most specific of its classes that the table has."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def _trailers(
    status: grpc.StatusCode, details: str, retry_after_s: float | None
) -> tuple[tuple[str, bytes], ...]:
    """RetryInfo where the error knows when a retry makes sense; otherwise nothing."""
    if retry_after_s is None:
        return ()
    nanos, seconds = math.modf(retry_after_s)
    retry = RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=int(nanos * 1e9)))
    detail = AnyMessage()
    detail.Pack(retry)
    # Clients compare code and text with the call's own, and drop the whole when they differ.
    details_message = Status(code=status.value[0], message=details, details=[detail])
    return ((_DETAILS_KEY, details_message.SerializeToString()),)


def _cut(message: str) -> str:
    """As much of the text as fits, measured in its percent-encoding."""
    if len(message) * 12 <= _MAX_DETAILS_BYTES:  # four bytes of UTF-8, three characters for each
        return message
    room = _MAX_DETAILS_BYTES
    for at, character in enumerate(message):
        as_it_is = " " <= character <= "~" and character != "%"
        room -= 1 if as_it_is else 3 * len(character.encode(errors="replace"))
        if room < 0:
            return message[:at] + "..."
    return message
