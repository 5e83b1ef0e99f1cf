"""Errors as HTTP sees them: one table, and the one form that every refusal has."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from onnxd import errors
from onnxd.errors import ServerError
from onnxd.http_frontend.rate_headers import rate_headers
from onnxd.http_frontend.responses import JSON_HEADERS
from onnxd.protocol.json_response import encode_error

STATUS: Final[dict[type[ServerError], int]] = {
    errors.ServerError: 500,
    errors.InvalidRequest: 400,
    errors.PayloadTooLarge: 413,
    errors.UnsupportedEncoding: 415,
    errors.RequestTooSlow: 408,
    errors.NotFound: 404,
    errors.NotSupported: 501,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
    errors.LoadFailed: 400,
    errors.ExecutionFailed: 500,
    errors.ModelProcessDied: 500,
}
"""By the most specific class: a subclass that is not here has its parent's status."""

CLIENT_GONE: Final = 499
"""In the access log only: the client closed the connection before there was an answer."""


def status_of(error: ServerError) -> int:
    """The status of an error, by the most specific of its classes that the table has."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer other than a success: `{"error": message}`, never compressed."""

    status: int
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """Beside those of every answer in JSON."""

    def response(self) -> web.Response:
        response = web.Response(status=self.status, body=encode_error(self.message), headers=JSON_HEADERS)
        if self.headers:
            response.headers.update(self.headers)
        return response


def refusal_of(error: ServerError) -> Refusal:
    """What the client of a request that ended in an error is told."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, errors.RateLimited) and error.quota is not None:
        headers |= rate_headers(error.quota, 0, int(headers["Retry-After"]))
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="onnxd"'
    if isinstance(error, errors.UnsupportedEncoding):
        headers["Accept-Encoding"] = error.readable
    return Refusal(status_of(error), error.message, headers)


def response_to(error: ServerError) -> web.Response:
    """The answer to a request that ended in an error."""
    return refusal_of(error).response()


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer other than a success: `{"error": message}`, never compressed."""
    return Refusal(status, message, headers or {}).response()
