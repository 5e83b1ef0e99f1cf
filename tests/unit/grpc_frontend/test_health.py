"""grpc.health.v1: what Check and Watch say, and that the drain reaches every watcher and waits for none."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from onnxd_protos.services import GRPC_INFERENCE_SERVICE, NEURAL_SERVICE
from tests.support.grpc_server import GrpcServer, grpc_calls, grpc_server
from tests.support.serving import Serving

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN


def check(channel: grpc.aio.Channel, service: str = "") -> Any:
    call: Any = channel.unary_unary(
        "/grpc.health.v1.Health/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    return call(HealthCheckRequest(service=service))


def watch(channel: grpc.aio.Channel, service: str = "") -> Any:
    call: Any = channel.unary_stream(
        "/grpc.health.v1.Health/Watch", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    return call(HealthCheckRequest(service=service))


@pytest.mark.parametrize("service", ["", GRPC_INFERENCE_SERVICE, NEURAL_SERVICE])
async def test_check_follows_what_is_announced(server: GrpcServer, service: str) -> None:
    assert (await check(server.calls.channel, service)).status == SERVING
    await server.frontend.announce(serving=False)
    assert (await check(server.calls.channel, service)).status == NOT_SERVING
    await server.frontend.announce(serving=True)
    assert (await check(server.calls.channel, service)).status == SERVING


async def test_an_unknown_service_is_not_found(server: GrpcServer) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await check(server.calls.channel, "no.such.Service")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert raised.value.details() == "unknown service 'no.such.Service'"


async def test_a_watcher_of_an_unknown_service_hears_that_it_is_unknown(server: GrpcServer) -> None:
    watcher = watch(server.calls.channel, "no.such.Service")
    assert (await watcher.read()).status == SERVICE_UNKNOWN
    watcher.cancel()


async def test_a_watcher_hears_the_status_and_each_change_of_it(server: GrpcServer) -> None:
    watcher = watch(server.calls.channel)
    assert (await watcher.read()).status == SERVING
    await server.frontend.announce(serving=True)
    await server.frontend.announce(serving=False)
    assert (await watcher.read()).status == NOT_SERVING
    await server.frontend.announce(serving=True)
    assert (await watcher.read()).status == SERVING
    watcher.cancel()


async def test_a_watcher_that_leaves_takes_nothing_from_the_others(server: GrpcServer) -> None:
    async with grpc_calls(server.address) as other:
        leaving, staying = watch(other.channel), watch(server.calls.channel)
        assert [(await watcher.read()).status for watcher in (leaving, staying)] == [SERVING, SERVING]
        leaving.cancel()
        assert (await check(other.channel)).status == SERVING
    await server.frontend.announce(serving=False)
    assert (await staying.read()).status == NOT_SERVING
    staying.cancel()


async def test_the_drain_tells_the_watchers_and_does_not_wait_for_them(stand: Serving, quiet: None) -> None:
    async with grpc_server(stand) as server:
        watchers = [watch(server.calls.channel) for _ in range(2)]
        for watcher in watchers:
            assert (await watcher.read()).status == SERVING
        async with asyncio.timeout(5):  # and not the 30 s of the grace
            await server.frontend.stop(30.0)
        for watcher in watchers:
            assert (await watcher.read()).status == NOT_SERVING
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await watcher.read()
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_watcher_that_asks_for_nothing_is_refused(server: GrpcServer) -> None:
    call: Any = server.calls.channel.stream_stream("/grpc.health.v1.Health/Watch")
    watcher = call()
    await watcher.done_writing()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await watcher.read()
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
