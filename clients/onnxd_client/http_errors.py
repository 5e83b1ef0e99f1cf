"""From HTTP statuses to our errors: the one table of this wire."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from onnxd_client.errors import (
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

ERRORS: Final[Mapping[int, type[ServerError]]] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: Unauthenticated,
        HTTPStatus.FORBIDDEN: PermissionDenied,
        HTTPStatus.NOT_FOUND: NotFound,
        HTTPStatus.REQUEST_TIMEOUT: DeadlineExceeded,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TooLarge,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: TooLarge,
        HTTPStatus.TOO_MANY_REQUESTS: RateLimited,
        # "Not implemented" is about what was asked for, not about the server's health.
        HTTPStatus.NOT_IMPLEMENTED: InvalidRequest,
        # A proxy whose server has just gone away: another try finds another server.
        HTTPStatus.BAD_GATEWAY: Unavailable,
        HTTPStatus.SERVICE_UNAVAILABLE: Unavailable,
        HTTPStatus.GATEWAY_TIMEOUT: DeadlineExceeded,
    }
)
"""The statuses with a meaning of their own; of the others, 4xx is InvalidRequest and the rest ServerFault."""


def error_class(status: int) -> type[ServerError]:
    """The error for any status other than 200."""
    return ERRORS.get(status, InvalidRequest if 400 <= status < 500 else ServerFault)


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date; None if absent or unreadable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())
