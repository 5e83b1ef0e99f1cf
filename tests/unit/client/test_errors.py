import math
from http import HTTPStatus

import grpc
import httpx
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import DebugInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from onnxd_client import errors, grpc_errors, http_errors
from onnxd_client.address import Address
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
from onnxd_client.transport import http_setup

WIRE = [
    (400, grpc.StatusCode.INVALID_ARGUMENT, InvalidRequest),
    (401, grpc.StatusCode.UNAUTHENTICATED, Unauthenticated),
    (403, grpc.StatusCode.PERMISSION_DENIED, PermissionDenied),
    (404, grpc.StatusCode.NOT_FOUND, NotFound),
    (413, grpc.StatusCode.RESOURCE_EXHAUSTED, TooLarge),
    (415, grpc.StatusCode.UNIMPLEMENTED, InvalidRequest),
    (500, grpc.StatusCode.INTERNAL, ServerFault),
    (501, grpc.StatusCode.UNIMPLEMENTED, InvalidRequest),
    (503, grpc.StatusCode.UNAVAILABLE, Unavailable),
    (504, grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
]


@pytest.mark.parametrize(("status", "code", "expected"), WIRE)
def test_both_wires_agree_on_an_error(
    status: int, code: grpc.StatusCode, expected: type[ServerError]
) -> None:
    assert http_errors.error_class(status) is expected
    assert type(grpc_errors.error_from_status(code, "x", [])) is expected


def test_every_grpc_code_has_an_error() -> None:
    assert set(grpc_errors.ERRORS) == set(grpc.StatusCode) - {grpc.StatusCode.OK}


@pytest.mark.parametrize("status", [status for status in HTTPStatus if status >= 300])
def test_every_http_status_has_an_error(status: HTTPStatus) -> None:
    found = http_errors.error_class(status)
    assert found is not ServerError
    assert issubclass(found, ServerFault) if 300 <= status < 400 or status == 500 else True


def test_every_error_can_come_over_both_wires() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    over_http = {*http_errors.ERRORS.values(), InvalidRequest, ServerFault, *http_setup.FAILURES.values()}
    over_grpc = {*grpc_errors.ERRORS.values(), RateLimited, ConnectFailed}
    assert over_http == over_grpc == kinds - {ServerError}


def test_every_failure_of_httpx_is_translated() -> None:
    def leaves(kind: type[httpx.TransportError]) -> set[type[httpx.TransportError]]:
        below = kind.__subclasses__()
        return set().union(*map(leaves, below)) if below else {kind}

    assert leaves(httpx.TransportError) == set(http_setup.FAILURES)
    error = http_setup.failure(httpx.ReadTimeout(""), Address.parse("http://host:1"))
    assert str(error) == "http://host:1: no answer within the deadline (ReadTimeout)"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(None, None, id="absent"),
        pytest.param("2", 2.0, id="seconds"),
        pytest.param(" 0 ", 0.0, id="at once"),
        pytest.param("Thu, 01 Jan 1970 00:01:40 GMT", 40.0, id="a date"),
        pytest.param("Thu, 01 Jan 1970 00:00:01 GMT", 0.0, id="a date that has passed"),
        pytest.param("soon", None, id="unreadable"),
        pytest.param("-1", None, id="negative"),
        pytest.param("²", None, id="a digit that is no number"),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert http_errors.retry_after(value, now=60.0) == seconds


def details(*messages: RetryInfo | DebugInfo) -> bytes:
    status = Status(code=14, message="later")
    for message in messages:
        packed = AnyMessage()
        packed.Pack(message)
        status.details.append(packed)
    data: bytes = status.SerializeToString()
    return data


@pytest.mark.parametrize(
    ("trailing", "seconds"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([("grpc-retry-pushback-ms", "1500")], 1.5, id="pushback"),
        pytest.param([("grpc-retry-pushback-ms", "-1")], math.inf, id="pushback says never"),
        pytest.param([("grpc-retry-pushback-ms", "x")], math.inf, id="unreadable pushback means never"),
        pytest.param(
            [
                (
                    "grpc-status-details-bin",
                    details(
                        DebugInfo(detail="x"), RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000))
                    ),
                )
            ],
            2.5,
            id="RetryInfo behind another detail",
        ),
        pytest.param([("grpc-status-details-bin", details(RetryInfo()))], 0.0, id="RetryInfo of zero"),
        pytest.param([("grpc-status-details-bin", details(DebugInfo(detail="x")))], None, id="no RetryInfo"),
        pytest.param([("grpc-status-details-bin", b"\xff\xff")], None, id="not a status"),
        pytest.param(
            [("grpc-retry-pushback-ms", "100"), ("grpc-status-details-bin", details(RetryInfo()))],
            0.1,
            id="pushback wins",
        ),
    ],
)
def test_grpc_hints_are_read(trailing: list[tuple[str, str | bytes]], seconds: float | None) -> None:
    assert grpc_errors.retry_after(trailing) == seconds


@given(st.binary(max_size=64))
def test_any_bytes_for_details_are_a_hint_or_none(data: bytes) -> None:
    found = grpc_errors.retry_after([("grpc-status-details-bin", data)])
    assert found is None or found >= 0


def test_exhausted_with_a_hint_is_a_rate_limit() -> None:
    error = grpc_errors.error_from_status(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "too often", [("grpc-retry-pushback-ms", "10")]
    )
    assert isinstance(error, RateLimited)
    assert (error.retry_after, error.status) == (0.01, "gRPC RESOURCE_EXHAUSTED")


def test_a_call_that_never_left_is_told_from_a_server_that_is_busy() -> None:
    details = "failed to connect to all addresses; last error: refused"
    assert type(grpc_errors.error_from_status(grpc.StatusCode.UNAVAILABLE, details, [])) is ConnectFailed
    assert type(grpc_errors.error_from_status(grpc.StatusCode.UNAVAILABLE, "queue full", [])) is Unavailable
