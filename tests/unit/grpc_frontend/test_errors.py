"""The table from errors to codes is whole, and what goes with a code can be read by clients."""

from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from onnxd import errors
from onnxd.errors import ServerError
from onnxd.grpc_frontend.errors import STATUS, refusal_of, status_of
from onnxd.grpc_frontend.status_code import StatusCode
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.grpc_server import GrpcCalls, GrpcServer

Code = StatusCode

EXPECTED = {
    errors.ServerError: Code.INTERNAL,
    errors.InvalidRequest: Code.INVALID_ARGUMENT,
    errors.MalformedPayload: Code.INVALID_ARGUMENT,
    errors.TensorMismatch: Code.INVALID_ARGUMENT,
    errors.InvalidName: Code.INVALID_ARGUMENT,
    errors.AlreadyExists: Code.ALREADY_EXISTS,
    errors.PayloadTooLarge: Code.RESOURCE_EXHAUSTED,
    errors.UnsupportedEncoding: Code.UNIMPLEMENTED,
    errors.RequestTooSlow: Code.DEADLINE_EXCEEDED,
    errors.NotFound: Code.NOT_FOUND,
    errors.ModelNotFound: Code.NOT_FOUND,
    errors.NotSupported: Code.UNIMPLEMENTED,
    errors.Unauthenticated: Code.UNAUTHENTICATED,
    errors.PermissionDenied: Code.PERMISSION_DENIED,
    errors.RateLimited: Code.RESOURCE_EXHAUSTED,
    errors.Unavailable: Code.UNAVAILABLE,
    errors.ModelUnavailable: Code.UNAVAILABLE,
    errors.QueueFull: Code.UNAVAILABLE,
    errors.QueueTimeout: Code.UNAVAILABLE,
    errors.ServerDraining: Code.UNAVAILABLE,
    errors.ControlDisabled: Code.UNAVAILABLE,
    errors.DeadlineExceeded: Code.DEADLINE_EXCEEDED,
    errors.LoadFailed: Code.INVALID_ARGUMENT,
    errors.ExecutionFailed: Code.INTERNAL,
    errors.ModelProcessDied: Code.INTERNAL,
}


def every(kind: type[ServerError]) -> Iterator[type[ServerError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from every(narrower)


def test_the_codes_are_those_of_the_library_by_name_and_number() -> None:
    assert {code.name: code.value for code in StatusCode} == {
        code.name: code.value[0] for code in grpc.StatusCode
    }


def test_every_error_of_the_tree_has_its_code() -> None:
    ours = {kind for kind in every(ServerError) if kind.__module__ == errors.__name__}
    assert {kind: status_of(kind("x")) for kind in ours} == EXPECTED


def test_every_branch_of_the_tree_is_in_the_table() -> None:
    branches = {kind for kind in ServerError.__subclasses__() if kind.__module__ == errors.__name__}
    assert branches <= set(STATUS)


def test_an_error_without_an_estimate_has_no_trailers() -> None:
    assert refusal_of(errors.QueueFull("full")).trailers == ()


@pytest.mark.parametrize("seconds", [0.0, 0.25, 1.0, 30.5], ids=lambda seconds: f"{seconds} s")
def test_when_to_retry_is_read_back_from_the_trailers(seconds: float) -> None:
    refusal = refusal_of(errors.QueueFull("full", retry_after_s=seconds))
    [(key, value)] = refusal.trailers
    assert key == "grpc-status-details-bin"
    status = Status.FromString(value)
    # Clients drop details whose code or text differs from the call's own.
    assert (status.code, status.message) == (Code.UNAVAILABLE, refusal.details)
    retry = RetryInfo()
    assert status.details[0].Unpack(retry)
    assert retry.retry_delay.ToTimedelta().total_seconds() == seconds


@pytest.mark.parametrize("character", ["x", "%", "\n", "é", "漢", "🎉"])
@pytest.mark.parametrize("retry_after_s", [None, 1.0], ids=["no retry", "a retry"])
def test_a_long_text_is_cut_to_what_trailers_may_hold(character: str, retry_after_s: float | None) -> None:
    refusal = refusal_of(errors.Unavailable(character * 100_000, retry_after_s=retry_after_s))
    assert refusal.details.endswith("...")
    assert 1000 < len(quote(refusal.details, safe=" ")) < 3100
    sent = len(quote(refusal.details, safe=" ")) + sum(len(value) * 4 / 3 for _, value in refusal.trailers)
    assert sent < 8000


def test_a_text_that_fits_is_sent_whole() -> None:
    for message in ("x" * 3072, "é" * 512):
        assert refusal_of(errors.LoadFailed(message)).details == message


async def test_a_client_reads_when_to_retry(server: GrpcServer) -> None:
    server.stand.control.fault = errors.ControlDisabled("not now", retry_after_s=2.5)
    refused = await server.calls.refusal(
        "RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="identity")
    )
    status = rpc_status.from_call(cast(Any, refused.error))
    retry = RetryInfo()
    assert status is not None
    assert status.details[0].Unpack(retry)
    assert retry.retry_delay.ToTimedelta().total_seconds() == 2.5


@pytest.mark.parametrize("line", ["config.yaml:7:3: no such key\n", "漢字\n"], ids=["English", "Chinese"])
async def test_a_client_with_the_usual_limits_reads_a_long_refusal(server: GrpcServer, line: str) -> None:
    server.stand.control.fault = errors.LoadFailed(line * 10_000, retry_after_s=1.0)
    async with grpc.aio.insecure_channel(server.address) as channel:
        refused = await GrpcCalls(channel).refusal(
            "RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="identity")
        )
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.details.startswith(line)
