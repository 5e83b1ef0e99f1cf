"""Errors as gRPC sees them: one table, and the trailers that go with it."""

import math
from dataclasses import dataclass
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from onnxd import errors
from onnxd.errors import ServerError
from onnxd.grpc_frontend.status_code import StatusCode

STATUS: Final[dict[type[ServerError], StatusCode]] = {
    errors.ServerError: StatusCode.INTERNAL,
    errors.InvalidRequest: StatusCode.INVALID_ARGUMENT,
    errors.AlreadyExists: StatusCode.ALREADY_EXISTS,
    errors.PayloadTooLarge: StatusCode.RESOURCE_EXHAUSTED,
    errors.UnsupportedEncoding: StatusCode.UNIMPLEMENTED,
    errors.RequestTooSlow: StatusCode.DEADLINE_EXCEEDED,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.NotSupported: StatusCode.UNIMPLEMENTED,
    errors.Unauthenticated: StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: StatusCode.PERMISSION_DENIED,
    errors.RateLimited: StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    errors.LoadFailed: StatusCode.INVALID_ARGUMENT,
    errors.ExecutionFailed: StatusCode.INTERNAL,
    errors.ModelProcessDied: StatusCode.INTERNAL,
}
"""By the most specific class: a subclass that is not here has its parent's code."""

_DETAILS_KEY: Final = "grpc-status-details-bin"
_MAX_DETAILS_BYTES: Final = 3072
"""Of the text as it is sent. Trailers of more than 8 KiB make clients report RESOURCE_EXHAUSTED instead, and
the text is in them twice when there is a RetryInfo."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call ends that is not answered. Holds no exception, and so nothing that its frames hold."""

    status: StatusCode
    details: str
    trailers: tuple[tuple[str, bytes], ...] = ()


def refusal_of(error: ServerError) -> Refusal:
    """How a call ends that raised this error."""
    status = status_of(error)
    details = _cut(error.message)
    return Refusal(status, details, _trailers(status, details, error.retry_after_s))


def status_of(error: ServerError) -> StatusCode:
    """The code of an error, by the most specific of its classes that the table has."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def _trailers(status: StatusCode, details: str, retry_after_s: float | None) -> tuple[tuple[str, bytes], ...]:
    """RetryInfo where the error knows when a retry makes sense; otherwise nothing."""
    if retry_after_s is None:
        return ()
    nanos, seconds = math.modf(retry_after_s)
    retry = RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=int(nanos * 1e9)))
    detail = AnyMessage()
    detail.Pack(retry)
    # Clients compare code and text with the call's own, and drop the whole when they differ.
    details_message = Status(code=status.value, message=details, details=[detail])
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
