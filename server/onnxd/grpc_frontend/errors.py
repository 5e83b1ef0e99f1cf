"""Errors as gRPC sees them: one table, and the trailers that go with it."""

import math
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
}
"""By the most specific class: a subclass that is not here has its parent's code."""

_DETAILS_KEY: Final = "grpc-status-details-bin"


def status_of(error: ServerError) -> grpc.StatusCode:
    """The code of an error, by the most specific of its classes that the table has."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def trailers_of(error: ServerError) -> tuple[tuple[str, bytes], ...]:
    """RetryInfo where the error knows when a retry makes sense; otherwise nothing."""
    if error.retry_after_s is None:
        return ()
    nanos, seconds = math.modf(error.retry_after_s)
    retry = RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=int(nanos * 1e9)))
    detail = AnyMessage()
    detail.Pack(retry)
    status = Status(code=status_of(error).value[0], message=error.message, details=[detail])
    return ((_DETAILS_KEY, status.SerializeToString()),)
