"""Retries and deadlines against servers that really fail."""

import asyncio
from typing import Any

import grpc
import pytest
from aiohttp import web
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from onnxd_client import (
    Client,
    DeadlineExceeded,
    RateLimited,
    RetryPolicy,
    Unavailable,
)
from onnxd_protos import grpc_service_pb2 as pb
from tests.unit.client.colours import PIXELS, Run, Waits
from tests.unit.client.servers import (
    fails,
    fails_once,
    grpc_server,
    http_server,
    until_over,
)


def test_retry_after_is_obeyed_over_http(run: Run) -> None:
    waits = Waits()
    with http_server(fails(503, Retry_After="3"), fails(429, Retry_After="2")) as server:
        run(server.url, "infer", "m", {"x": PIXELS}, client=waits.of(run))
    assert waits.seconds == [3.0, 2.0]
    assert server.requests[0][3] == server.requests[2][3]


def test_retry_info_and_pushback_are_obeyed_over_grpc(run: Run) -> None:
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=3)))
    status = Status(code=8, details=[detail]).SerializeToString()
    for code, trailing in (
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ("grpc-status-details-bin", status)),
        (grpc.StatusCode.UNAVAILABLE, ("grpc-retry-pushback-ms", "3000")),
    ):
        waits = Waits()
        with grpc_server(ModelInfer=fails_once(code, [trailing])) as server:
            run(server.url, "infer", "m", {"x": PIXELS}, client=waits.of(run))
        assert waits.seconds == [3.0]


def test_a_rate_limit_without_a_hint_is_not_pressed(run: Run) -> None:
    with http_server(fails(429)) as server:
        with pytest.raises(RateLimited, match="made to fail with 429"):
            run(server.url, "infer", "m", {"x": PIXELS})
        assert len(server.requests) == 1


def test_a_connection_that_breaks_is_tried_again(run: Run) -> None:
    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    waits = Waits()
    with http_server(cut) as server:
        run(server.url, "infer", "m", {"x": PIXELS}, client=waits.of(run))
        assert len(server.requests) == 2


def test_a_busy_server_is_unavailable_over_grpc() -> None:
    def busy(_: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNAVAILABLE, "queue full")

    with grpc_server(ModelInfer=busy) as server:
        with (
            Client(server.url, retry=RetryPolicy(max_tries=1)) as client,
            pytest.raises(Unavailable) as raised,
        ):
            client.infer("m", {"x": PIXELS})
        assert (type(raised.value), raised.value.status) == (Unavailable, "gRPC UNAVAILABLE")


def test_the_deadline_travels(run: Run) -> None:
    with http_server() as http, grpc_server() as rpc:
        for server in (http, rpc):
            run(server.url, "infer", "m", {"x": PIXELS}, deadline=20.0)
        left = int(http.requests[0][2]["x-request-timeout-ms"])
        assert 0 < left <= 20_000
        assert rpc.times_left[0] is not None
        assert 0 < rpc.times_left[0] <= 20.5


def test_a_silent_server_is_given_up_at_the_deadline(run: Run) -> None:
    async def silent(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    def silent_call(_: Any, context: Any) -> Any:
        until_over(context)
        return pb.ModelInferResponse()

    with http_server(silent) as http, grpc_server(ModelInfer=silent_call) as rpc:
        for server in (http, rpc):
            with pytest.raises(DeadlineExceeded, match=f"{server.url}.*no answer within the deadline"):
                run(server.url, "infer", "m", {"x": PIXELS}, deadline=0.1)


def test_a_dripping_answer_is_given_up_at_the_deadline(run: Run) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.01)

    with http_server(drip) as server, pytest.raises(DeadlineExceeded):
        run(server.url, "infer", "m", {"x": PIXELS}, deadline=0.1)
