"""The table from errors to statuses is whole, and says what the protocol says."""

from collections.abc import Iterator

import pytest

from onnxd import errors
from onnxd.errors import ServerError
from onnxd.http_frontend.errors import STATUS, refusal, response_to, status_of


def every(kind: type[ServerError]) -> Iterator[type[ServerError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from every(narrower)


EXPECTED = {
    errors.ServerError: 500,
    errors.InvalidRequest: 400,
    errors.MalformedPayload: 400,
    errors.TensorMismatch: 400,
    errors.InvalidName: 400,
    errors.AlreadyExists: 400,
    errors.PayloadTooLarge: 413,
    errors.UnsupportedEncoding: 415,
    errors.RequestTooSlow: 408,
    errors.NotFound: 404,
    errors.ModelNotFound: 404,
    errors.NotSupported: 501,
    errors.Unauthenticated: 401,
    errors.PermissionDenied: 403,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
    errors.ModelUnavailable: 503,
    errors.QueueFull: 503,
    errors.QueueTimeout: 503,
    errors.ServerDraining: 503,
    errors.ControlDisabled: 503,
    errors.DeadlineExceeded: 504,
    errors.LoadFailed: 400,
    errors.ExecutionFailed: 500,
    errors.ModelProcessDied: 500,
}


def test_every_error_has_its_status() -> None:
    ours = {kind for kind in every(ServerError) if kind.__module__ == errors.__name__}
    assert {kind: status_of(kind("x")) for kind in ours} == EXPECTED


def test_every_branch_of_the_tree_is_in_the_table() -> None:
    branches = {kind for kind in ServerError.__subclasses__() if kind.__module__ == errors.__name__}
    assert branches <= set(STATUS)


def test_the_most_specific_class_decides() -> None:
    class Odd(errors.QueueFull):
        pass

    assert status_of(Odd("x")) == 503


@pytest.mark.parametrize(
    ("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (2.1, "3"), (None, None)]
)
def test_a_retry_is_told_in_whole_seconds(seconds: float | None, header: str | None) -> None:
    response = response_to(errors.QueueFull("full", retry_after_s=seconds))
    assert response.headers.get("Retry-After") == header


def test_an_encoding_that_is_not_read_is_answered_with_those_that_are() -> None:
    assert response_to(errors.UnsupportedEncoding("br")).headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    "message", ["plain", 'quotes " and \\', "line\nfeed", "lone \udcff surrogate", "é €"]
)
def test_a_refusal_is_json_whatever_its_message(message: str) -> None:
    response = refusal(400, message)
    assert response.content_type == "application/json"
    assert isinstance(response.body, bytes)
    assert response.body.startswith(b'{"error":"')
