"""Both colours of the client over both wires, against servers that really listen."""

import asyncio
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import ml_dtypes
import numpy as np
import pytest
from aiohttp import web
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from onnxd_client import (
    AsyncClient,
    Client,
    ConnectFailed,
    InferResult,
    InvalidRequest,
    RetryPolicy,
    ServerFault,
)
from onnxd_protos import grpc_service_pb2 as pb
from tests.unit.client.colours import PIXELS, Run, Waits, blocking, nobody
from tests.unit.client.servers import (
    fails,
    fails_once,
    grpc_echo,
    grpc_server,
    http_echo,
    http_server,
    until_over,
)


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(PIXELS, id="FP32"),
        pytest.param(np.array(2.5), id="scalar"),
        pytest.param(np.zeros((0, 4), np.int8), id="empty"),
        pytest.param(np.array([[1.5, -2]], ml_dtypes.bfloat16), id="BF16"),
        pytest.param(np.array([b"a\0", b""], object), id="BYTES"),
        pytest.param(np.array([True, False]), id="BOOL"),
        pytest.param(np.arange(300_000), id="more than one packet"),
    ],
)
def test_arrays_come_back_as_they_were(run: Run, url: str, array: Any) -> None:
    result: InferResult = run(url, "infer", "echo", {"x": array, "second": PIXELS}, id="i")
    assert (result.model_version, result.id, list(result)) == ("2", "i", ["x", "second"])
    assert result["x"].dtype == array.dtype
    assert result["x"].shape == array.shape
    assert result["x"].tolist() == array.tolist()


def test_plain_numbers_and_a_value_alone_use_the_models_metadata(run: Run, url: str) -> None:
    assert run(url, "infer", "digits", [[1, 2]])["pixels"].dtype == np.float32
    assert run(url, "infer", "digits", {"pixels": [[1, 2]]})["pixels"].tolist() == [[1, 2]]


def test_health_is_asked(run: Run, url: str) -> None:
    assert run(url, "live") is True
    assert run(url, "ready") is True
    assert run(url, "model_ready", "digits") is True


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_server_that_is_not_there_is_not_live_and_cannot_be_asked(run: Run, scheme: str) -> None:
    with nobody() as port:
        address = f"{scheme}://127.0.0.1:{port}"
        assert run(address, "live") is False
        waits = Waits()
        with pytest.raises(ConnectFailed):
            run(address, "infer", "m", {}, client={**waits.of(run), "retry": RetryPolicy(max_tries=2)})
        assert len(waits.seconds) == 1


def test_a_refusal_is_raised_at_once_with_the_servers_words(run: Run) -> None:
    refuse = fails_once(grpc.StatusCode.INVALID_ARGUMENT)
    with http_server(fails(400)) as http, grpc_server(ModelInfer=refuse) as rpc:
        for server in (http, rpc):
            with pytest.raises(InvalidRequest, match=r"^made to fail with"):
                run(server.url, "infer", "m", {"x": PIXELS})
        assert (len(http.requests), len(rpc.calls)) == (1, 1)


def test_an_answer_that_is_not_the_protocol_is_the_servers_fault(run: Run) -> None:
    broken = web.Response(body=b"x", headers={"Content-Encoding": "gzip"})
    for reply in (web.Response(text="<html>"), broken, web.Response(status=302, headers={"Location": "/"})):
        with http_server(reply) as server, pytest.raises(ServerFault):
            run(server.url, "infer", "m", {"x": PIXELS})


def test_a_header_that_cannot_be_sent_is_refused(run: Run, url: str) -> None:
    for headers in ({"x": "a\nb"}, {"x": "\u20ac"}, {"x y": "a"}, {"": "a"}, {"\u20ac": "a"}):
        with pytest.raises(InvalidRequest, match="header"):
            run(url, "infer", "m", {"x": PIXELS}, headers=headers)


def test_headers_of_client_and_call_are_sent(run: Run) -> None:
    client = {"headers": {"Authorization": "Bearer t"}}
    with http_server() as http, grpc_server() as rpc:
        for server in (http, rpc):
            run(server.url, "infer", "m", {"x": PIXELS}, client=client, headers={"X-Request-Id": "7"})
        for sent in (http.requests[0][2], rpc.calls[0][1]):
            assert (sent["authorization"], sent["x-request-id"]) == ("Bearer t", "7")
            assert "onnxd-client/" in str(sent["user-agent"])
            assert "traceparent" not in sent


def test_the_current_trace_travels(run: Run) -> None:
    span = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1)))
    token = otel_context.attach(trace.set_span_in_context(span))
    try:
        with http_server() as http, grpc_server() as rpc:
            for server in (http, rpc):
                run(server.url, "infer", "m", {"x": PIXELS})
                run(server.url, "infer", "m", {"x": PIXELS}, headers={"traceparent": "mine"})
            expected = f"00-{0xABC:032x}-{0xDEF:016x}-01"
            assert [sent["traceparent"] for _, _, sent, _ in http.requests] == [expected, "mine"]
            assert [sent["traceparent"] for _, sent, _ in rpc.calls] == [expected, "mine"]
    finally:
        otel_context.detach(token)


def test_one_connection_serves_calls_that_follow_each_other() -> None:
    async def main(url: str) -> None:
        async with AsyncClient(url) as client:
            for _ in range(3):
                await client.infer("m", {"x": PIXELS})

    with http_server() as http, grpc_server() as rpc:
        for server, used in ((http, http.connections), (rpc, rpc.peers)):
            with Client(server.url) as client:
                for _ in range(3):
                    client.infer("m", {"x": PIXELS})
            assert len(used) == 1
            asyncio.run(main(server.url))
            assert len(used) == 2


def test_one_client_serves_many_threads(url: str) -> None:
    with Client(url) as client, ThreadPoolExecutor(8) as pool:
        arrays = [np.full(100, number) for number in range(64)]
        results = pool.map(lambda array: client.infer("m", {"x": array})["x"], arrays)
        assert all(np.array_equal(*pair) for pair in zip(arrays, results, strict=True))


async def test_one_client_serves_many_tasks() -> None:
    with http_server() as http, grpc_server() as rpc:
        for server in (http, rpc):
            async with AsyncClient(server.url) as client:
                arrays = [np.full(100, number) for number in range(64)]
                results = await asyncio.gather(*(client.infer("m", {"x": array}) for array in arrays))
                for array, result in zip(arrays, results, strict=True):
                    assert np.array_equal(result["x"], array)


async def test_a_cancelled_call_is_cancelled_on_the_server() -> None:
    started, ended = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(_: Any, context: Any) -> Any:
        context.add_callback(lambda: loop.call_soon_threadsafe(ended.set))
        loop.call_soon_threadsafe(started.set)
        until_over(context)
        return pb.ModelInferResponse()

    with grpc_server(ModelInfer=hang) as server:
        async with AsyncClient(server.url) as client:
            call = asyncio.ensure_future(client.infer("m", {"x": PIXELS}))
            await started.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await ended.wait()


def test_the_repository_is_managed_over_both_wires(run: Run) -> None:
    index = [{"name": "digits", "version": "1", "state": "READY"}]
    with (
        http_server(web.json_response(index), web.Response(), web.Response()) as http,
        grpc_server(
            RepositoryIndex=lambda _, __: pb.RepositoryIndexResponse(models=index),
            RepositoryModelLoad=lambda _, __: pb.RepositoryModelLoadResponse(),
            RepositoryModelUnload=lambda _, __: pb.RepositoryModelUnloadResponse(),
        ) as rpc,
    ):
        for server in (http, rpc):

            async def awaited(url: str = server.url) -> Any:
                async with AsyncClient(url) as client:
                    found = await client.repository.index(ready=True)
                    await client.repository.load("digits")
                    await client.repository.unload("digits")
                    return found

            if run is blocking:
                with Client(server.url) as client:
                    (entry,) = client.repository.index(ready=True)
                    client.repository.load("digits")
                    client.repository.unload("digits")
            else:
                (entry,) = asyncio.run(awaited())
            assert (entry.name, entry.version, entry.state, entry.reason) == ("digits", "1", "READY", "")
        assert http.paths == [
            "/v2/repository/index",
            "/v2/repository/models/digits/load",
            "/v2/repository/models/digits/unload",
        ]
        assert rpc.methods == ["RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"]
        assert rpc.calls[1][2].model_name == "digits"


def test_a_model_under_a_prefix_is_found() -> None:
    with http_server() as server, Client(server.url + "/models/") as client:
        client.infer("m", {"x": PIXELS})
        assert server.paths == ["/models/v2/models/m/infer"]


def test_compression_is_not_asked_for_but_understood() -> None:
    async def compressed(request: web.Request) -> web.Response:
        response = await http_echo(request)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    with http_server(compressed) as server, Client(server.url) as client:
        assert client.infer("m", {"x": PIXELS})["x"].shape == (1, 64)
        assert server.requests[0][2]["accept-encoding"] == "identity"


def test_big_messages_pass_over_grpc() -> None:
    with (
        grpc_server(ModelInfer=lambda request, _: grpc_echo(request)) as server,
        Client(server.url) as client,
    ):
        array = np.zeros(900_000, np.float32)
        assert client.infer("m", {"x": array})["x"].nbytes == array.nbytes


async def test_an_error_inside_the_with_block_still_closes() -> None:
    async def fail() -> Awaitable[None]:
        async with AsyncClient("http://127.0.0.1:1"):
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
