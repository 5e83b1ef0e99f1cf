"""The lane: that inference takes it, in which order answers come, and what becomes of all else."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping

import numpy as np
import pytest
from structlog.typing import EventDict

from onnxd.http_frontend.config import HttpConfig
from onnxd.messages import Principal
from onnxd.scheduler.runner import RunResult
from onnxd.security.gate import Caller, Gate
from onnxd.security.scopes import Scopes
from onnxd.tensors import Array, ModelSpec
from tests.support.http_server import INFER, ROW, HttpServer, http_server
from tests.support.raw_http import Answer, RawConnection, connect, request_bytes
from tests.support.serving import HoldingRunner, IdentityRunner, Serving, identity_spec, served_version
from tests.support.until import until

PATH = "/v2/models/identity/infer"
LIVE = request_bytes("GET", "/v2/health/live")
ASK = request_bytes("POST", PATH, INFER)
CHUNKED = ASK.replace(b"Content-Length: %d\r\n" % len(INFER), b"Transfer-Encoding: chunked\r\n").removesuffix(
    INFER
) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(INFER), INFER)


def binary(model: str, width: int, value: float = 1.0) -> bytes:
    """A request for one tensor of so many numbers, answered in bytes."""
    data = np.full(width, value, np.float32).tobytes()
    shape = [width] if model == "wide" else [1, width]
    tensor = {
        "name": "x", "shape": shape, "datatype": "FP32", "parameters": {"binary_data_size": len(data)}
    }  # fmt: skip
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return request_bytes("POST", f"/v2/models/{model}/infer", head + data, headers)


async def answers(connection: RawConnection, count: int) -> list[Answer]:
    return [await connection.answer() for _ in range(count)]


async def test_an_inference_takes_the_lane_also_behind_a_request_that_does_not(server: HttpServer) -> None:
    async with connect(server.port) as connection:
        for data in (ASK, LIVE, ASK, binary("identity", 4), LIVE, ASK):
            await connection.send(data)
            assert (await connection.answer()).status == 200
    assert server.frontend.requests_through_aiohttp == 2


async def test_a_request_whose_end_is_not_certain_takes_the_connection_with_it(server: HttpServer) -> None:
    async with connect(server.port) as connection:
        await connection.send(ASK + CHUNKED + ASK)
        assert [answer.json()["outputs"][0]["data"] for answer in await answers(connection, 3)] == [ROW] * 3
    assert server.frontend.requests_through_aiohttp == 2


async def test_without_the_lane_all_takes_aiohttp(stand: Serving, quiet: None) -> None:
    stand.lane = False
    async with http_server(stand) as server:
        assert (await server.send(ASK)).status == 200
        assert server.frontend.requests_through_aiohttp == 1


async def test_pipelined_requests_of_all_kinds_are_answered_in_order(server: HttpServer) -> None:
    kinds = [
        (ASK, 200),
        (LIVE, 200),
        (request_bytes("POST", "/v2/models/none/infer", INFER), 404),
        (request_bytes("POST", PATH, b"{"), 400),
        (request_bytes("GET", "/nowhere"), 404),
        (binary("identity", 4), 200),
        (request_bytes("POST", "/v2/models/a..b%2f/infer", INFER), 400),
        (request_bytes("POST", PATH, INFER, {"Expect": "100-continue"}), 200),
        (request_bytes("POST", "/v2/repository/index", b"{}"), 200),
        (ASK, 200),
    ]
    count = 20
    async with connect(server.port) as connection:
        await connection.send(b"".join(data for data, _ in kinds) * count)
        got = await answers(connection, len(kinds) * count)
    assert [answer.status for answer in got] == [status for _, status in kinds] * count


async def test_many_refusals_at_once_do_not_go_deeper_and_deeper(server: HttpServer) -> None:
    async with connect(server.port) as connection:
        await connection.send(request_bytes("POST", "/v2/models/none/infer", INFER) * 2000)
        assert {answer.status for answer in await answers(connection, 2000)} == {404}


async def test_an_answer_waits_for_the_one_before_it(stand: Serving, quiet: None) -> None:
    runner = HoldingRunner(identity_spec("held"))
    stand.serve(served_version(identity_spec("held"), runner))
    async with http_server(stand) as server, connect(server.port) as connection:
        await connection.send(request_bytes("POST", "/v2/models/held/infer", INFER) + LIVE + ASK)
        await runner.begun.wait()
        waiting = asyncio.create_task(connection.answer())
        await asyncio.wait([waiting], timeout=0.01)
        assert not waiting.done()
        runner.release()
        assert "outputs" in (await waiting).json()
        assert (await connection.answer()).json() == {"live": True}
        assert (await connection.answer()).status == 200


async def test_answers_beside_other_requests_are_in_order_and_none_is_lost(
    stand: Serving, quiet: None
) -> None:
    """While others are on their way an answer is held back for a moment, to go with theirs."""
    runner = HoldingRunner(identity_spec("held"))
    stand.serve(served_version(identity_spec("held"), runner))
    last = request_bytes("POST", PATH, INFER, {"Connection": "close"})
    async with http_server(stand) as server, connect(server.port) as slow, connect(server.port) as quick:
        await slow.send(request_bytes("POST", "/v2/models/held/infer", INFER))
        await runner.begun.wait()
        await quick.send(ASK + LIVE + ASK + CHUNKED)
        assert [answer.status for answer in await answers(quick, 4)] == [200] * 4
        async with connect(server.port) as closing:
            await closing.send(ASK + ASK + last)
            assert [answer.status for answer in await answers(closing, 3)] == [200] * 3
            assert await closing.closed() == b""
        runner.release()
        assert (await slow.answer()).status == 200


@pytest.mark.parametrize("step", [1, 7, 100], ids="{}-bytes".format)
async def test_requests_in_pieces_are_put_together(server: HttpServer, step: int) -> None:
    data = LIVE + ASK + ASK + LIVE + binary("identity", 4) + ASK
    async with connect(server.port) as connection:
        for at in range(0, len(data), step):
            await connection.send_segment(data[at : at + step])
        assert [answer.status for answer in await answers(connection, 6)] == [200] * 6


@pytest.mark.parametrize("width", [100, 8_000, 20_000, 150_000])
async def test_a_body_of_any_size_comes_back_whole(server: HttpServer, width: int) -> None:
    async with connect(server.port) as connection:
        for value in (1.0, 2.0):
            await connection.send(binary("wide", width, value) + LIVE)
            answer = await connection.answer()
            assert answer.status == 200
            begins = int(answer.headers["inference-header-content-length"])
            assert (np.frombuffer(answer.body[begins:], np.float32) == value).all()
            assert (await connection.answer()).json() == {"live": True}


class Looking:
    """Answers with its input, and keeps what it was given."""

    def __init__(self, spec: ModelSpec) -> None:
        self._identity = IdentityRunner(spec)
        self.given: list[Array] = []

    def start(
        self, inputs: Mapping[str, Array], outputs: tuple[str, ...], done: Callable[[RunResult], None]
    ) -> None:
        self.given.extend(inputs.values())
        self._identity.start(inputs, outputs, done)

    def terminate(self) -> None:
        return None


def owner(array: Array) -> object:
    """Whose memory it is a view over."""
    found: object = array
    while True:
        if isinstance(found, np.ndarray) and found.base is not None:
            found = found.base
        elif isinstance(found, memoryview):
            found = found.obj
        else:
            return found


async def test_a_large_tensor_reaches_the_model_as_it_was_received(stand: Serving, quiet: None) -> None:
    spec = stand.inference.spec("wide", None)
    looking = Looking(spec)
    stand.serve(served_version(spec, looking))
    data = binary("wide", 150_000)
    async with http_server(stand) as server, connect(server.port) as connection:
        for _ in range(2):
            await connection.send(data)
            assert (await connection.answer()).status == 200
    assert len(looking.given) == 2
    for array in looking.given:
        assert array.flags.aligned
        buffer = owner(array)
        assert isinstance(buffer, np.ndarray)
        assert buffer.nbytes > array.nbytes  # the JSON is in it too: it is the body, not a copy of the tensor


async def test_a_client_that_leaves_a_lent_request_leaves_nothing_behind(server: HttpServer) -> None:
    async with connect(server.port) as connection:
        await connection.send(ASK + request_bytes("POST", "/v2/repository/index", b"{}")[:-1])
        assert (await connection.answer()).status == 200
        connection.abort()
    await until(lambda: server.frontend.open_connections == 0)


@pytest.mark.parametrize("ask", [ASK, LIVE], ids=["lane", "lent"])
async def test_a_connection_that_the_client_wants_closed_is_closed(server: HttpServer, ask: bytes) -> None:
    async with connect(server.port) as connection:
        await connection.send(ask.replace(b"Host:", b"Connection: close\r\nHost:") + ASK)
        answer = await connection.answer()
        assert answer.status == 200
        assert answer.closes
        assert await connection.closed() == b""


class OneKey:
    """Knows one credential."""

    def identify(self, credential: str, now_s: float) -> Caller | None:
        return Caller(Principal("friend"), Scopes.parse(["infer:identity"])) if credential == "good" else None


@pytest.fixture
async def guarded(stand: Serving, quiet: None) -> AsyncIterator[HttpServer]:
    """Nobody may do anything without a credential, and bodies are small."""
    gate = Gate([OneKey()], public=Scopes.parse([]))
    config = HttpConfig(port=0, max_body=2**20, linger_timeout=5.0)
    async with http_server(stand, config, gate=gate) as running:
        yield running


@pytest.mark.parametrize(
    ("model", "credential", "status"),
    [("identity", "", 401), ("identity", "bad", 401), ("wide", "good", 403), ("identity", "good", 200)],
)
async def test_who_may_is_settled_for_each_request(
    guarded: HttpServer, model: str, credential: str, status: int
) -> None:
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    async with connect(guarded.port) as connection:
        for _ in range(2):
            await connection.send(request_bytes("POST", f"/v2/models/{model}/infer", INFER, headers))
            answer = await connection.answer()
            assert answer.status == status
            assert ("www-authenticate" in answer.headers) == (status == 401)
    assert guarded.frontend.requests_through_aiohttp == 0


@pytest.mark.parametrize(("length", "status"), [(10**6, 401), (2**21, 401)], ids=["fits", "too-large"])
async def test_a_refusal_before_a_large_body_is_read_by_a_client_that_sends_all_of_it(
    guarded: HttpServer, length: int, status: int
) -> None:
    async with connect(guarded.port) as connection:
        await connection.send(request_bytes("POST", PATH, bytes(length)))
        answer = await connection.answer()
        assert answer.status == status
        assert answer.closes
        assert await connection.closed() == b""


async def test_answers_are_in_the_access_log_with_what_they_were_about(
    server: HttpServer, own_logs: list[EventDict], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "onnxd.access")
    await server.send(request_bytes("POST", PATH, INFER.replace(b"{", b'{"id": "7", ', 1)))
    await server.send(request_bytes("POST", PATH, b"{"))
    lines = [event for event in own_logs if event["event"] == "POST /v2/models/{model}/infer"]
    assert [(line["status"], line.get("id"), line["model"]) for line in lines] == [
        (200, "7", "identity"),
        (400, None, "identity"),
    ]
    assert lines[1]["error"]


async def test_answers_of_the_lane_close_from_the_drain_on(stand: Serving, quiet: None) -> None:
    async with http_server(stand) as server, connect(server.port) as connection:
        await connection.send(ASK)
        assert not (await connection.answer()).closes
        server.frontend.begin_drain()
        await connection.send(ASK)
        assert (await connection.answer()).closes
        assert await connection.closed() == b""
