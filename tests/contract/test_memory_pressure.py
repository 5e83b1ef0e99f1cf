"""More than the server can hold at once, and more JSON than its loop could bear."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Final

import grpc
import numpy as np
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from onnxd.inference import InferenceConfig
from onnxd.protocol.limits import ProtocolLimits
from onnxd.tensors import Datatype
from tests.support.grpc_server import GrpcServer, grpc_server, infer_request
from tests.support.http_server import INFER, HttpServer, http_server
from tests.support.raw_http import Answer, connect, request_bytes
from tests.support.serving import HoldingRunner, Serving, identity_spec, served_version, serving, tensor
from tests.support.until import until

BODY: Final = 16 * 1024
FIT: Final = 32
"""So many bodies are within the bound."""
SENT: Final = 200


@dataclass(slots=True)
class Stand:
    """A model whose runs do not end before they are released, behind both front ends."""

    serving: Serving
    runner: HoldingRunner
    http: HttpServer
    grpc: GrpcServer

    @property
    def held_bytes(self) -> int:
        return self.serving.inference.payloads.held_bytes

    async def finish(self) -> None:
        """Let everything that is in flight run to its end."""

        def nothing_left() -> bool:
            self.runner.release()
            return self.held_bytes == 0

        await until(nothing_left)


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    spec = identity_spec("held", max_batch_size=0, inputs=(tensor("x", -1, datatype=Datatype.UINT8),))
    runner = HoldingRunner(spec)
    config = InferenceConfig(max_in_flight_bytes=(FIT + 1) * BODY)
    plain = served_version(identity_spec())
    on = serving(plain, served_version(spec, runner), config=config)
    async with http_server(on) as http, grpc_server(on) as calls:
        yield Stand(on, runner, http, calls)


def binary(elements: int) -> bytes:
    entry = {"name": "x", "shape": [elements], "datatype": "UINT8"}
    head = json.dumps({"inputs": [entry | {"parameters": {"binary_data_size": elements}}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return request_bytes("POST", "/v2/models/held/infer", head + bytes(elements), headers)


async def until_refused(stand: Stand, answers: list[asyncio.Task[Answer]]) -> None:
    """Until all are refused that will be; the others are held by the model."""
    await until(lambda: sum(not answer.done() for answer in answers) <= FIT)


async def test_E15_as_many_bodies_as_fit_are_answered_and_the_others_told_to_come_back(stand: Stand) -> None:
    async with asyncio.TaskGroup() as tasks:
        sent = [tasks.create_task(stand.http.send(binary(BODY))) for _ in range(SENT)]
        await until_refused(stand, sent)
        assert stand.held_bytes <= stand.serving.inference.payloads.bound_bytes
        await stand.finish()
    statuses = [answer.result().status for answer in sent]
    assert statuses.count(200) == FIT
    assert statuses.count(503) == SENT - FIT
    refused = next(answer.result() for answer in sent if answer.result().status == 503)
    assert "inference.max_in_flight_bytes" in refused.error
    assert int(refused.headers["retry-after"]) >= 1
    await stand.http.assert_well()
    assert stand.held_bytes == 0


async def test_E15_messages_over_grpc_are_within_the_same_bound(stand: Stand) -> None:
    request = infer_request("held", {"x": np.zeros(BODY, np.uint8)})

    async def code() -> tuple[str, Status | None]:
        try:
            await stand.grpc.calls.ask("ModelInfer", request)
        except grpc.aio.AioRpcError as error:
            trailers = dict(error.trailing_metadata() or ())
            return error.code().name, Status.FromString(trailers["grpc-status-details-bin"])
        return "OK", None

    async with asyncio.TaskGroup() as tasks:
        sent = [tasks.create_task(code()) for _ in range(SENT)]
        await until(lambda: sum(not answer.done() for answer in sent) <= FIT)
        assert stand.held_bytes <= stand.serving.inference.payloads.bound_bytes
        await stand.finish()
    outcomes = [answer.result() for answer in sent]
    codes = [code for code, _ in outcomes]
    assert codes.count("OK") == FIT
    assert codes.count("UNAVAILABLE") == SENT - FIT
    status = next(status for _, status in outcomes if status is not None)
    assert status.details[0].Is(RetryInfo.DESCRIPTOR)
    await stand.grpc.calls.assert_well()
    assert stand.held_bytes == 0


async def test_a_body_that_would_be_too_much_is_refused_before_it_is_sent(stand: Stand) -> None:
    async with connect(stand.http.port) as first, connect(stand.http.port) as second:
        await first.send(binary(BODY))
        await stand.runner.begun.wait()
        head, _, _ = binary(FIT * BODY).partition(b"\r\n\r\n")
        await second.send(head + b"\r\n\r\n")
        assert (await second.answer()).status == 503
        await stand.finish()
        assert (await first.answer()).status == 200


@pytest.mark.parametrize("end", ["the client leaves", "the body is malformed", "the body never comes"])
async def test_what_a_request_held_is_free_however_it_ends(stand: Stand, end: str) -> None:
    async with connect(stand.http.port) as connection:
        if end == "the client leaves":
            await connection.send(binary(BODY))
            await stand.runner.begun.wait()
        elif end == "the body is malformed":
            await connection.send(request_bytes("POST", "/v2/models/held/infer", b"{" * BODY))
            assert (await connection.answer()).status == 400
        else:
            await connection.send(binary(BODY)[:-1])
            await until(lambda: stand.held_bytes > 0)
    await until(lambda: stand.held_bytes == 0)


@pytest.fixture
async def wide() -> AsyncIterator[HttpServer]:
    spec = identity_spec("wide", max_batch_size=0, inputs=(tensor("x", -1, datatype=Datatype.INT64),))
    on = serving(served_version(identity_spec()), served_version(spec))
    async with http_server(on, limits=ProtocolLimits(max_json_bytes=4 * 2**20)) as server:
        yield server


def numbers(count: int) -> bytes:
    data = b"7," * (count - 1) + b"7"
    return b'{"inputs":[{"name":"x","datatype":"INT64","shape":[%d],"data":[%s]}]}' % (count, data)


async def beside(server: HttpServer, large: Awaitable[Answer]) -> tuple[Answer, int]:
    """The answer to a large request, and how many small ones were answered meanwhile."""
    waiting = asyncio.ensure_future(large)
    small = 0
    while not waiting.done():
        assert (await server.post("/v2/models/identity/infer", INFER)).status == 200
        small += 1
    return await waiting, small


async def test_C15_json_at_the_limit_is_read_in_another_process_and_others_are_answered_meanwhile(
    wide: HttpServer,
) -> None:
    text = numbers(2 * 2**20 - 100)
    answer, small = await beside(wide, wide.post("/v2/models/wide/infer", text))
    assert answer.status == 200
    assert answer.json()["outputs"][0]["data"] == [7] * (2 * 2**20 - 100)
    assert wide.frontend.large.calls == 1
    assert small > 1


@pytest.mark.parametrize("piece", [b"[],", b"{},", b'"",', b"NaN,", b"0,"])
async def test_C15_json_that_is_slow_to_read_is_no_different(wide: HttpServer, piece: bytes) -> None:
    text = b'{"inputs":[{"name":"x","datatype":"INT64","shape":[1],"data":[%s0]}]}' % (piece * 300_000)
    answer, _ = await beside(wide, wide.post("/v2/models/wide/infer", text))
    assert answer.status == 400
    assert wide.frontend.large.calls == 1
    await wide.assert_well()


async def test_C15_json_over_the_limit_is_refused_with_the_way_out(wide: HttpServer) -> None:
    answer = await wide.post("/v2/models/wide/infer", numbers(2 * 2**20 + 1))
    assert answer.status == 413
    assert "send large tensors as binary data" in answer.error
    assert wide.frontend.large.calls == 0


@pytest.mark.parametrize("path", ["/v2/repository/index", "/v2/logging", "/v2/trace/setting"])
async def test_C15_control_calls_take_no_large_json_at_all(wide: HttpServer, path: str) -> None:
    answer = await wide.post(path, b'{"x":[%s0]}' % (b"[]," * 300_000))
    assert answer.status == 413
    await wide.assert_well()
