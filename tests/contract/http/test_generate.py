"""POST .../generate and .../generate_stream: forms, errors before and after the queue, going away."""

import gzip
import json
import logging
from collections.abc import AsyncIterator

import numpy as np
import pytest
from structlog.typing import EventDict

from onnxd.errors import ExecutionFailed, TensorMismatch
from onnxd.scheduler.policy import BatchPolicy
from onnxd.tensors import Datatype
from tests.support.http_server import HttpServer, http_server
from tests.support.raw_http import connect, request_bytes
from tests.support.serving import (
    FailingRunner,
    HoldingRunner,
    identity_spec,
    served_version,
    serving,
    tensor,
)
from tests.support.until import until

KINDS = ["generate", "generate_stream"]
both = pytest.mark.parametrize("kind", KINDS)
ROW = b'{"x":[1,2,3,4]}'
TEXT = identity_spec("text", inputs=(tensor("x", 1, datatype=Datatype.BYTES),), max_batch_size=0)


def path(kind: str, model: str = "identity") -> str:
    return f"/v2/models/{model}/{kind}"


def unwrapped(kind: str, body: bytes) -> bytes:
    """The JSON of an answer or of a stream's only event."""
    if kind == "generate":
        return body
    assert body.startswith(b"data: ")
    assert body.endswith(b"\n\n")
    assert body.count(b"\n") == 2
    return body[6:-2]


@pytest.fixture
async def runner() -> HoldingRunner:
    return HoldingRunner(identity_spec("held", max_batch_size=1))


@pytest.fixture
async def held(runner: HoldingRunner, quiet: None) -> AsyncIterator[HttpServer]:
    """With `held`: one request runs until the test says so, one more may wait."""
    spec = identity_spec("held", max_batch_size=1)
    stand = serving(
        served_version(identity_spec()), served_version(spec, runner, policy=BatchPolicy(max_queue_size=1))
    )
    async with http_server(stand) as server:
        yield server
        runner.release()
        await server.assert_well()


@both
async def test_a_flat_object_is_answered_with_one(server: HttpServer, kind: str) -> None:
    answer = await server.post(path(kind), b'{"id":"7","x":[1,2,3,4],"temperature":0.5}')
    assert answer.status == 200
    assert json.loads(unwrapped(kind, answer.body)) == {
        "id": "7", "model_name": "identity", "model_version": "1", "y": [1.0, 2.0, 3.0, 4.0],
    }  # fmt: skip
    types = {"generate": "application/json", "generate_stream": "text/event-stream; charset=utf-8"}
    assert answer.headers["content-type"] == types[kind]


@both
async def test_the_version_in_the_path_answers(server: HttpServer, kind: str) -> None:
    server.stand.serve(served_version(identity_spec()), served_version(identity_spec(version=2)))
    for version in ("1", "2"):
        answer = await server.post(f"/v2/models/identity/versions/{version}/{kind}", ROW)
        assert json.loads(unwrapped(kind, answer.body))["model_version"] == version


@both
async def test_text_is_answered_with_text(server: HttpServer, kind: str) -> None:
    server.stand.serve(served_version(TEXT))
    for said in ("hello", "two\n\nlines", "data: {}\n\n", '"\\', "", "ü€😀\u2028\0"):
        answer = await server.post(path(kind, "text"), json.dumps({"x": said}).encode())
        assert json.loads(unwrapped(kind, answer.body))["y"] == said


@both
async def test_values_that_json_lacks_go_and_come(server: HttpServer, kind: str) -> None:
    answer = await server.post(path(kind), b'{"x":[NaN,Infinity,-Infinity,-0.0]}')
    values = json.loads(unwrapped(kind, answer.body))["y"]
    assert np.array(values).tobytes() == np.array([np.nan, np.inf, -np.inf, -0.0]).tobytes()


@both
async def test_a_large_answer_comes_whole(server: HttpServer, kind: str) -> None:
    numbers = list(range(50_000))
    answer = await server.post(path(kind, "wide"), json.dumps({"x": numbers}).encode())
    assert json.loads(unwrapped(kind, answer.body))["y"] == numbers


@both
async def test_answers_are_never_compressed(server: HttpServer, kind: str) -> None:
    answer = await server.post(path(kind), ROW, {"Accept-Encoding": "gzip, deflate"})
    assert "content-encoding" not in answer.headers
    assert answer.status == 200


@both
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
async def test_a_compressed_body_is_refused(server: HttpServer, kind: str, encoding: str) -> None:
    answer = await server.post(path(kind), gzip.compress(ROW), {"Content-Encoding": encoding})
    assert answer.status == 415
    assert answer.error


async def test_the_encoding_that_is_read_is_named(server: HttpServer) -> None:
    answer = await server.post(path("generate"), gzip.compress(ROW), {"Content-Encoding": "gzip"})
    assert answer.headers["accept-encoding"] == "identity"
    assert (await server.post(path("generate"), ROW, {"Content-Encoding": "identity"})).status == 200


@both
@pytest.mark.parametrize(
    ("model", "body", "status"),
    [
        ("identity", b"", 400),
        ("identity", b"[]", 400),
        ("identity", b'{"x":[1,2,3]}', 400),
        ("identity", b'{"x":"four"}', 400),
        ("identity", b'{"z":[1,2,3,4]}', 400),
        ("identity", b'{"x":[1,2,3,4],"k":null}', 400),
        ("identity", b'{"x":' + json.dumps([0] * 36).encode() + b"}", 400),
        ("nobody", ROW, 404),
        ("identity/versions/9", ROW, 404),
        ("identity/versions/x", ROW, 404),
        ("..", ROW, 400),
    ],
)
async def test_what_never_reaches_the_queue_is_an_error_like_any_other(
    server: HttpServer, kind: str, model: str, body: bytes, status: int
) -> None:
    answer = await server.post(path(kind, model), body)
    assert answer.status == status
    assert answer.error


@both
@pytest.mark.parametrize("datatype", [Datatype.FP16, Datatype.BF16])
async def test_half_floats_have_no_form_here(server: HttpServer, kind: str, datatype: Datatype) -> None:
    server.stand.serve(served_version(identity_spec("half", inputs=(tensor("x", 4, datatype=datatype),))))
    answer = await server.post(path(kind, "half"), ROW)
    assert answer.status == 400
    assert datatype.value in answer.error


@both
async def test_the_callers_deadline_holds(server: HttpServer, kind: str) -> None:
    answer = await server.post(path(kind), ROW, {"x-request-timeout-ms": "0"})
    assert answer.status == 504
    assert answer.error


@pytest.mark.parametrize(
    ("fault", "status"), [(ExecutionFailed("the run failed"), 500), (TensorMismatch("not so"), 400)]
)
async def test_a_run_that_fails_is_an_event_of_the_stream(
    own_logs: list[EventDict], caplog: pytest.LogCaptureFixture, fault: Exception, status: int
) -> None:
    caplog.set_level(logging.INFO, "onnxd.access")
    stand = serving(served_version(identity_spec(), FailingRunner(fault)))
    async with http_server(stand) as server:
        streamed = await server.post(path("generate_stream"), ROW)
        assert streamed.status == status
        assert streamed.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert json.loads(unwrapped("generate_stream", streamed.body)) == {"error": str(fault)}
        plain = await server.post(path("generate"), ROW)
        assert (plain.status, plain.error) == (status, str(fault))
    # Where another test has configured the log, its loggers stay configured.
    logged = own_logs + [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [event["error"] for event in logged if "error" in event] == [str(fault)] * 2


@both
async def test_a_full_queue_is_an_error_like_any_other(
    held: HttpServer, runner: HoldingRunner, kind: str
) -> None:
    async with connect(held.port) as first, connect(held.port) as second:
        await first.send(request_bytes("POST", path(kind, "held"), ROW))
        await runner.begun.wait()
        await second.send(request_bytes("POST", path(kind, "held"), ROW))
        await until(lambda: held.stand.inference.in_flight == 2)
        refused = await held.post(path(kind, "held"), ROW)
        assert refused.status == 503
        assert "retry-after" in refused.headers
        assert refused.error
        runner.begun.clear()
        runner.release()
        assert (await first.answer()).status == 200
        await runner.begun.wait()
        runner.release()
        assert (await second.answer()).status == 200


@both
async def test_a_client_that_goes_away_frees_its_place(
    held: HttpServer, runner: HoldingRunner, kind: str
) -> None:
    async with connect(held.port) as first, connect(held.port) as second:
        await first.send(request_bytes("POST", path(kind, "held"), ROW))
        await runner.begun.wait()
        await second.send(request_bytes("POST", path(kind, "held"), ROW))
        await until(lambda: held.stand.inference.in_flight == 2)
        second.abort()
        await until(lambda: held.stand.inference.in_flight == 1)
        first.abort()
        await until(lambda: held.stand.inference.in_flight == 0)
    runner.release()
    [version] = held.stand.inference.serving("held", 1)
    assert version.leases == 0


async def test_a_request_that_waits_in_the_queue_for_too_long_is_an_event(
    held: HttpServer, runner: HoldingRunner
) -> None:
    async with connect(held.port) as first:
        await first.send(request_bytes("POST", path("generate", "held"), ROW))
        await runner.begun.wait()
        body = b'{"x":[1,2,3,4],"timeout":1000}'  # in microseconds
        late = await held.post(path("generate_stream", "held"), body)
        assert late.status == 503
        assert list(json.loads(unwrapped("generate_stream", late.body))) == ["error"]
        plain = await held.post(path("generate", "held"), body)
        assert (plain.status, bool(plain.error)) == (503, True)


async def test_many_requests_share_a_connection(server: HttpServer) -> None:
    async with connect(server.port) as connection:
        for kind in KINDS * 3:
            await connection.send(request_bytes("POST", path(kind), ROW))
            answer = await connection.answer()
            assert answer.status == 200
            assert not answer.closes
