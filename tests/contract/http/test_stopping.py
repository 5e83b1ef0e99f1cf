"""Starting and stopping: ports, drains, the number of connections."""

import asyncio

import pytest

from onnxd.http_frontend.config import HttpConfig
from onnxd.http_frontend.listener import PortTaken
from tests.support.http_server import BOTH_WAYS, INFER, http_server
from tests.support.raw_http import connect, request_bytes
from tests.support.serving import HoldingRunner, Serving, identity_spec, served_version

pytestmark = BOTH_WAYS

PATH = "/v2/models/held/infer"


@pytest.fixture
async def runner(stand: Serving) -> HoldingRunner:
    """Of the model `held`."""
    spec = identity_spec("held")
    holding = HoldingRunner(spec)
    stand.serve(served_version(spec, holding))
    return holding


async def test_a_port_in_use_is_named(stand: Serving) -> None:
    async with http_server(stand) as first:
        second = http_server(stand, HttpConfig(port=first.port))
        with pytest.raises(PortTaken, match=f"127.0.0.1:{first.port} .*--http-port"):
            await second.__aenter__()


async def test_a_port_is_free_again_at_once(stand: Serving) -> None:
    async with http_server(stand) as first:
        await first.assert_well()
        port = first.port
    async with http_server(stand, HttpConfig(port=port)) as second:
        await second.assert_well()


async def test_answers_ask_to_close_from_the_drain_on(stand: Serving) -> None:
    async with http_server(stand) as server, connect(server.port) as connection:
        await connection.send(request_bytes("GET", "/v2/health/live"))
        assert not (await connection.answer()).closes
        server.frontend.begin_drain()
        await connection.send(request_bytes("GET", "/v2/health/live"))
        assert (await connection.answer()).closes
        assert await connection.closed() == b""


@pytest.mark.parametrize(
    ("path", "body"), [(PATH, INFER), ("/v2/models/held/generate", b'{"x": [1, 2, 3, 4]}')]
)
async def test_a_request_in_flight_finishes_within_the_grace(
    stand: Serving, runner: HoldingRunner, path: str, body: bytes
) -> None:
    async with http_server(stand) as server, connect(server.port) as connection, connect(server.port) as idle:
        await connection.send(request_bytes("POST", path, body))
        await runner.begun.wait()
        stopping = asyncio.create_task(server.frontend.stop(30.0))
        assert await idle.closed() == b""
        with pytest.raises(ConnectionRefusedError):
            await server.get("/v2/health/live")
        runner.release()
        answer = await connection.answer()
        await stopping
        assert server.frontend.open_connections == 0
    assert answer.status == 200
    assert answer.closes


async def test_a_request_beyond_the_grace_is_ended(stand: Serving, runner: HoldingRunner) -> None:
    async with http_server(stand) as server, connect(server.port) as connection:
        await connection.send(request_bytes("POST", PATH, INFER))
        await runner.begun.wait()
        await server.frontend.stop(0.05)
        assert await connection.closed() == b""
        assert server.frontend.open_connections == 0
        assert stand.inference.in_flight == 0


async def test_a_connection_too_many_is_told_so(stand: Serving) -> None:
    config = HttpConfig(port=0, max_connections=2)
    async with http_server(stand, config) as server, connect(server.port) as first, connect(server.port):
        await first.send(request_bytes("GET", "/v2/health/live"))
        assert (await first.answer()).status == 200
        async with connect(server.port) as third:
            answer = await third.answer()
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.error
