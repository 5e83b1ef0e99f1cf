"""Clients that stop: in the head, in the body, before their answer, for good (faults.md, table A).

The deadlines are short here, and nothing is measured: what counts is how it ends.
"""

import asyncio
import json
import select
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.typing import EventDict

from onnxd.http_frontend.config import HttpConfig
from tests.support.http_server import BOTH_WAYS, INFER, HttpServer, http_server
from tests.support.raw_http import connect, request_bytes
from tests.support.serving import HoldingRunner, Serving, identity_spec, served_version

pytestmark = BOTH_WAYS

PATH = "/v2/models/identity/infer"
IMPATIENT = HttpConfig(
    port=0, body_timeout=0.2, keepalive_timeout=0.2, write_timeout=0.2, max_body=-1, linger_timeout=0.2
)


@pytest.fixture
async def impatient(stand: Serving, quiet: None) -> AsyncIterator[HttpServer]:
    async with http_server(stand, IMPATIENT) as running:
        yield running
        await running.assert_well()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is so; the test's own timeout is the bound."""
    while not condition():  # noqa: ASYNC110 - what is waited for is the server's inside, which has no event
        await asyncio.sleep(0)


def body_head(length: int) -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), length)


async def test_A25_a_body_that_stops_is_given_up_at_its_deadline(impatient: HttpServer) -> None:
    async with connect(impatient.port) as connection:
        await connection.send(body_head(10**9) + b'{"i')
        answer = await connection.answer()
        await connection.closed()
    assert answer.status == 408
    assert "3 bytes" in answer.error
    assert answer.closes


async def test_A25_a_chunked_body_that_stops_is_given_up_too(impatient: HttpServer) -> None:
    async with connect(impatient.port) as connection:
        head = request_bytes("POST", PATH, headers={"Transfer-Encoding": "chunked"})
        await connection.send(head.replace(b"Content-Length: 0\r\n", b"") + b"2\r\n{}\r\n")
        assert (await connection.answer()).status == 408


async def test_A25_a_client_that_leaves_in_its_body_is_no_error(
    impatient: HttpServer, own_logs: list[EventDict]
) -> None:
    async with connect(impatient.port) as connection:
        await connection.send(body_head(10**9) + b'{"i')
        await until(lambda: impatient.frontend.open_connections == 1)
        connection.abort()
        await until(lambda: impatient.frontend.open_connections == 0)
    assert [event for event in own_logs if event.get("status") == 500] == []


async def test_a_body_that_keeps_the_minimum_rate_outlives_the_timeout(stand: Serving, quiet: None) -> None:
    config = HttpConfig(port=0, body_timeout=0.05, min_rate=100)
    async with http_server(stand, config) as server, connect(server.port) as connection:
        await connection.send(body_head(2**20))
        await connection.send(INFER + b" " * (2**19 - len(INFER)))
        # Until here so much has come that the deadline is hours away.
        done, waiting = await asyncio.wait([asyncio.create_task(connection.answer())], timeout=0.2)
        assert not done
        await connection.send(b" " * 2**19)
        assert (await waiting.pop()).status == 200


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="A26-nothing"),
        pytest.param(b"G", id="A26-one-byte"),
        pytest.param(b"GET /v2 HTTP/1.1\r\nHost: loc", id="A26-half-a-head"),
        pytest.param(
            b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET ", id="A26-half-a-second-head"
        ),
    ],
)
async def test_a_head_that_stops_is_given_up_at_its_deadline(impatient: HttpServer, sent: bytes) -> None:
    async with connect(impatient.port) as connection:
        await connection.send(sent)
        rest = await connection.closed()
    assert rest.count(b"HTTP/1.1") == sent.count(b"\r\n\r\n")


def wait_for_reset(sock: socket.socket) -> None:
    poll = select.poll()
    poll.register(sock, 0)
    poll.poll(10_000)


async def test_A29_a_reader_that_does_not_read_is_cut_off(impatient: HttpServer) -> None:
    stand = impatient.stand
    size = 4 * 10**6
    document = {
        "inputs": [
            {"name": "x", "shape": [size], "datatype": "FP32", "parameters": {"binary_data_size": 4 * size}}
        ],
        "parameters": {"binary_data_output": True},
    }
    head = json.dumps(document).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    with socket.create_connection(("127.0.0.1", impatient.port)) as sock:
        sock.setblocking(False)
        data = request_bytes("POST", "/v2/models/wide/infer", head + bytes(4 * size), headers)
        await asyncio.get_running_loop().sock_sendall(sock, data)
        await asyncio.to_thread(wait_for_reset, sock)
    await until(lambda: impatient.frontend.open_connections == 0)
    assert stand.inference.in_flight == 0


async def test_a_reader_that_reads_gets_all_of_a_large_answer(impatient: HttpServer) -> None:
    size = 2 * 10**6
    document = {
        "inputs": [
            {"name": "x", "shape": [size], "datatype": "FP32", "parameters": {"binary_data_size": 4 * size}}
        ],
        "parameters": {"binary_data_output": True},
    }
    head = json.dumps(document).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = await impatient.post("/v2/models/wide/infer", head + b"\x01" * (4 * size), headers)
    assert answer.status == 200
    assert answer.body.endswith(b"\x01" * (4 * size))


async def test_a_client_that_leaves_while_its_request_waits_frees_its_place(
    stand: Serving, quiet: None, own_logs: list[EventDict]
) -> None:
    spec = identity_spec("held")
    runner = HoldingRunner(spec)
    held = served_version(spec, runner)
    stand.serve(held)
    async with http_server(stand) as server:
        async with connect(server.port) as first, connect(server.port) as second:
            await first.send(request_bytes("POST", "/v2/models/held/infer", INFER))
            await runner.begun.wait()
            await second.send(request_bytes("POST", "/v2/models/held/infer", INFER))
            await until(lambda: held.batcher.waiting_requests == 1)
            second.abort()
            await until(lambda: held.batcher.waiting_requests == 0)
            runner.release()
            assert (await first.answer()).status == 200
        assert held.leases == 0
        assert stand.inference.in_flight == 0
        await server.assert_well()
