"""What clients and operators are told of requests: times, ids, the last ones, and the access log."""

import json
import logging
import os
import select
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from onnxd.errors import ExecutionFailed
from onnxd.telemetry.logs import LogConfig, logging_to_stderr
from onnxd.telemetry.recent import Recent, RecentConfig
from onnxd.telemetry.tracing import Tracing
from tests.support.grpc_server import ONES, GrpcServer, grpc_server, infer_request
from tests.support.http_server import INFER, HttpServer, http_server
from tests.support.serving import FailingRunner, Serving, identity_spec, served_version, serving

PATH = "/v2/models/identity/infer"
TIMING = {"x-onnxd-timing": "1"}


def models() -> Serving:
    failing = FailingRunner(ExecutionFailed("the model fails"))
    return serving(served_version(identity_spec()), served_version(identity_spec("failing"), failing))


@pytest.fixture
async def http() -> AsyncIterator[HttpServer]:
    stand = models()
    # Any request takes longer than a microsecond, and so is slow.
    tracing = Tracing(recent=Recent(RecentConfig(slow=1e-6), stand.catalog.knows))
    async with http_server(stand, tracing=tracing) as server:
        yield server


@pytest.fixture
async def grpc_calls() -> AsyncIterator[GrpcServer]:
    async with grpc_server(models()) as server:
        yield server


# Over HTTP.


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PATH, INFER),
        ("/infer", b'{"inputs":[1,2,3,4]}'),
        ("/v2/models/identity/generate", b'{"x":[1,2,3,4]}'),
    ],
)
async def test_every_face_tells_the_times_to_who_asks(http: HttpServer, path: str, body: bytes) -> None:
    told = (await http.post(path, body, TIMING)).headers
    assert told["x-onnxd-batch"] == "rows=1, requests=1, cut=idle"
    assert {"x-onnxd-queue-us", "x-onnxd-compute-us"} <= set(told)
    assert "traceparent" not in told  # nothing is traced here
    untold = (await http.post(path, body)).headers
    assert not any(name.startswith("x-") for name in untold)


@pytest.mark.parametrize("path", [PATH, "/v2/models/nobody/infer", "/nowhere", "/v2/health/live"])
async def test_a_request_id_comes_back_with_whatever_the_answer_is(http: HttpServer, path: str) -> None:
    told = (await http.post(path, INFER, {"x-request-id": "r-1"})).headers
    assert told["x-request-id"] == "r-1"


async def test_a_request_id_that_is_not_valid_does_not(http: HttpServer) -> None:
    told = (await http.post(PATH, INFER, {"x-request-id": "two words"})).headers
    assert "x-request-id" not in told


# Over gRPC.


async def test_a_grpc_caller_reads_its_times_behind_the_answer(grpc_calls: GrpcServer) -> None:
    call = grpc_calls.calls.start(
        "ModelInfer",
        infer_request("identity", {"x": ONES}),
        metadata=(("x-onnxd-timing", "1"), ("x-request-id", "r-1")),
    )
    await call
    told = dict(await call.trailing_metadata())
    assert (told["x-request-id"], told["x-onnxd-batch"]) == ("r-1", "rows=1, requests=1, cut=idle")
    assert int(told["x-onnxd-compute-us"]) >= 0


async def test_a_grpc_caller_that_is_refused_has_its_id_too(grpc_calls: GrpcServer) -> None:
    request = infer_request("nobody", {"x": ONES})
    refused = await grpc_calls.calls.refusal("ModelInfer", request, metadata=(("x-request-id", "r-1"),))
    assert dict(refused.error.trailing_metadata())["x-request-id"] == "r-1"


async def test_a_grpc_caller_that_asks_nothing_is_told_nothing(grpc_calls: GrpcServer) -> None:
    call = grpc_calls.calls.start("ModelInfer", infer_request("identity", {"x": ONES}))
    await call
    assert not any(name.startswith("x-") for name, _ in await call.trailing_metadata())


# The last requests of a model.


async def test_the_last_slow_requests_and_errors_are_there_to_be_looked_at(http: HttpServer) -> None:
    await http.post(PATH, INFER, {"x-request-id": "r-1"})
    await http.post(PATH, b"{")
    told = (await http.get("/v2/models/identity/recent")).json()
    (slow,) = told["slow"]
    assert (told["model"], told["slow_from_us"], slow["id"], slow["status"]) == ("identity", 1, "r-1", 200)
    assert list(slow["stages"]) == ["decode", "queue", "execute", "run", "encode"]
    times = [time for stage in ("decode", "queue", "execute", "encode") for time in slow["stages"][stage]]
    assert times == sorted(times)
    assert times[-1] <= slow["total_us"]
    (batch,) = slow["batches"]
    assert (batch["rows"], batch["requests"], batch["cut"], batch["error"]) == (1, 1, "idle", "")
    (error,) = told["errors"]
    assert (error["status"], error["batches"]) == (400, [])
    assert error["error"].startswith("MalformedPayload: ")


async def test_a_run_that_failed_is_told_with_its_batch(http: HttpServer) -> None:
    await http.post("/v2/models/failing/infer", INFER)
    (error,) = (await http.get("/v2/models/failing/recent")).json()["errors"]
    assert (error["status"], error["error"]) == (500, "ExecutionFailed: the model fails")
    assert error["batches"][0]["error"] == "ExecutionFailed"


async def test_of_a_model_that_there_is_not_there_is_nothing(http: HttpServer) -> None:
    assert (await http.get("/v2/models/nobody/recent")).status == 404


# The access log.


@contextmanager
def access_log(config: LogConfig) -> Iterator[int]:
    """A log, and where it can be read."""
    reader, writer = os.pipe()
    try:
        with logging_to_stderr(config, writer):
            yield reader
    finally:
        os.close(reader)
        os.close(writer)


def next_lines(reader: int) -> list[dict[str, object]]:
    select.select([reader], [], [], 20)
    return [json.loads(line) for line in os.read(reader, 2**16).splitlines()]


async def test_each_request_has_a_line_when_that_is_wished(http: HttpServer) -> None:
    with access_log(LogConfig(format="json", access=1.0)) as reader:
        document = json.loads(INFER) | {"id": "seven"}
        await http.post(PATH, json.dumps(document).encode(), {"x-request-id": "r-1"})
        (line,) = next_lines(reader)
    duration, queue, compute = (line.pop(name) for name in ("duration_ms", "queue_ms", "compute_ms"))
    assert all(isinstance(time, float) for time in (duration, queue, compute))
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "event": "POST /v2/models/{model}/infer",
        "level": "info",
        "logger": "onnxd.access",
        "outcome": "answered",
        "status": 200,
        "model": "identity",
        "version": 1,
        "id": "seven",
        "request_id": "r-1",
        "principal": "anonymous",
    }


async def test_a_grpc_request_has_its_times_in_its_line(grpc_calls: GrpcServer) -> None:
    with access_log(LogConfig(format="json", access=1.0)) as reader:
        await grpc_calls.calls.infer("identity", {"x": ONES})
        (line,) = next_lines(reader)
    assert (line["status"], line["version"], line["model"]) == ("OK", 1, "identity")
    assert {"duration_ms", "queue_ms", "compute_ms"} <= set(line)


async def test_by_default_only_what_goes_wrong_has_a_line(http: HttpServer) -> None:
    with access_log(LogConfig(format="json")) as reader:
        await http.post(PATH, INFER)
        await http.post(PATH, b"{", {"x-request-id": "r-1"})
        (line,) = next_lines(reader)
    assert (line["outcome"], line["status"], line["request_id"]) == ("refused", 400, "r-1")


async def test_lines_of_what_goes_well_are_not_even_made_when_they_are_not_written(http: HttpServer) -> None:
    with access_log(LogConfig(format="json")):
        assert not logging.getLogger("onnxd.access").isEnabledFor(logging.DEBUG)
