"""What scrapers read, over models in memory whose runs end when the test says so."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import grpc
import numpy as np
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

import onnxd.http_frontend.metrics
from onnxd.errors import ExecutionFailed
from onnxd.http_frontend.config import HttpConfig, MetricsConfig
from onnxd.http_frontend.listener import PortTaken
from onnxd.http_frontend.metrics import MetricsListener
from onnxd.messages import Principal
from onnxd.scheduler.policy import BatchPolicy
from onnxd.security.gate import Caller, Gate
from onnxd.security.rate_config import RateConfig
from onnxd.security.rates import Rates
from onnxd.security.scopes import EVERYTHING
from onnxd.telemetry.metrics import Metrics
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.grpc_server import ONES, GrpcCalls, grpc_server, infer_request
from tests.support.http_server import INFER, HttpServer, http_server
from tests.support.raw_http import Answer, connect, request_bytes
from tests.support.scraping import Scrape
from tests.support.serving import (
    FailingRunner,
    HoldingRunner,
    Serving,
    identity_spec,
    served_version,
    serving,
)
from tests.support.until import until

TEXT = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Stand:
    """Both front ends and the port for scrapers, over one `identity`, `held` and `failing`."""

    models: Serving
    runner: HoldingRunner
    http: HttpServer
    grpc: GrpcCalls
    listener: MetricsListener

    async def ask(self, method: str = "GET", path: str = "/metrics") -> Answer:
        """Of the port for scrapers."""
        assert self.listener.port is not None
        async with connect(self.listener.port) as connection:
            await connection.send(request_bytes(method, path))
            return await connection.answer(head_only=method == "HEAD")

    async def scrape(self) -> Scrape:
        return Scrape.of((await self.ask()).body.decode())


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    spec = identity_spec("held")
    runner = HoldingRunner(spec)
    failing = FailingRunner(ExecutionFailed("the model fails"))
    models = serving(
        served_version(identity_spec()),
        served_version(spec, runner, policy=BatchPolicy(max_queue_size=2)),
        served_version(identity_spec("failing"), failing),
    )
    async with AsyncExitStack() as resources:
        metrics = Metrics(models.observe)
        http = await resources.enter_async_context(http_server(models, metrics=metrics))
        grpc_frontend = await resources.enter_async_context(grpc_server(models))
        listener = await resources.enter_async_context(
            MetricsListener(metrics, MetricsConfig(port=0), HttpConfig(port=0), "127.0.0.1", Gate())
        )
        yield Stand(models, runner, http, grpc_frontend.calls, listener)
        runner.release()


@pytest.fixture
def own_logs() -> Iterator[list[EventDict]]:
    with capture_logs() as events:
        yield events


# Where they are read.


async def test_both_ports_answer_in_prometheus_text_format(stand: Stand) -> None:
    for answer in (await stand.http.get("/metrics"), await stand.ask()):
        assert (answer.status, answer.headers["content-type"]) == (200, TEXT)
        assert Scrape.of(answer.body.decode()).value("nv_inference_count", model="identity") == 0


@pytest.mark.parametrize("path", ["/metrics/", "/metrics?module=all", "http://localhost/metrics"])
async def test_the_port_for_scrapers_is_not_particular_about_the_path(stand: Stand, path: str) -> None:
    answer = await stand.ask(path=path)
    assert answer.status == 200
    assert b"nv_inference_count" in answer.body


@pytest.mark.parametrize("path", ["/", "//", "/metricsx", "/v2/health/live", "/metrics/x", "/%6Detrics"])
async def test_the_port_for_scrapers_has_an_empty_answer_for_all_else(stand: Stand, path: str) -> None:
    answer = await stand.ask(path=path)
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE", "OPTIONS"])
async def test_the_port_for_scrapers_allows_get_only(stand: Stand, method: str) -> None:
    answer = await stand.ask(method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET")


async def test_a_scraper_keeps_its_connection(stand: Stand) -> None:
    assert stand.listener.port is not None
    async with connect(stand.listener.port) as connection:
        for path in ("/metrics", "/", "/metrics"):
            await connection.send(request_bytes("GET", path))
            assert (await connection.answer()).status == 200


async def test_scrapers_who_ask_at_the_same_time_are_all_answered(stand: Stand) -> None:
    answers = await asyncio.gather(*(stand.ask() for _ in range(40)))
    assert {answer.status for answer in answers} == {200}


async def test_metrics_that_are_switched_off_are_not_there(stand: Stand) -> None:
    async with http_server(stand.models) as server:
        assert (await server.get("/metrics")).status == 404


# A port that another program has.


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def listener(stand: Stand, port: int | None) -> MetricsListener:
    metrics = Metrics(stand.models.observe)
    return MetricsListener(metrics, MetricsConfig(port=port), HttpConfig(), "127.0.0.1", Gate())


async def test_the_usual_port_may_be_taken(
    stand: Stand, taken: int, own_logs: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxd.http_frontend.metrics, "DEFAULT_PORT", taken)
    async with listener(stand, None) as second:
        assert second.port is None
    [event] = own_logs
    assert (event["log_level"], event["port"]) == ("warning", taken)
    assert event["mend"] == "choose a port with --metrics-port"


async def test_a_chosen_port_may_not_be_taken(stand: Stand, taken: int) -> None:
    with pytest.raises(PortTaken, match=f"127.0.0.1:{taken} .*--metrics-port"):
        async with listener(stand, taken):
            pass


# What they say of requests.


@pytest.mark.parametrize("wire", ["http", "grpc"])
async def test_a_request_is_seen_in_the_queue_in_its_batch_and_after_its_caller_left(
    stand: Stand, wire: str
) -> None:
    body = json.loads(INFER)

    def send() -> asyncio.Task[object]:
        if wire == "http":
            return asyncio.create_task(stand.http.infer(body, "held"))
        return asyncio.create_task(stand.grpc.infer("held", {"x": ONES}))

    running = send()
    await stand.runner.begun.wait()
    waiting = send()
    held = stand.models.inference.served("held", None)
    await until(lambda: held.batcher.waiting_requests == 1)
    seen = await stand.scrape()
    assert seen.value("nv_inference_pending_request_count", model="held") == 1
    assert seen.value("onnxd_instances_busy", model="held") == 1
    assert seen.value("onnxd_in_flight_requests") == 2
    for caller in (running, waiting):
        caller.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    await until(lambda: stand.models.inference.in_flight == 0)
    stand.runner.release()
    seen = await stand.scrape()
    assert seen.counts("nv_inference_request_failure", "reason", model="held") == {"CANCELED": 2}
    assert seen.value("nv_inference_request_success", model="held") == 0
    assert seen.value("nv_inference_pending_request_count", model="held") == 0
    assert seen.value("onnxd_instances_busy", model="held") == 0
    assert seen.counts("onnxd_requests_refused_total", "reason") == {}


async def test_what_a_full_queue_refuses_is_rejected(stand: Stand) -> None:
    async with asyncio.TaskGroup() as callers:
        callers.create_task(stand.grpc.infer("held", {"x": ONES}))
        await stand.runner.begun.wait()
        held = stand.models.inference.served("held", None)
        for _ in range(2):
            callers.create_task(stand.grpc.infer("held", {"x": ONES}))
        await until(lambda: held.batcher.waiting_requests == 2)
        refused = await stand.grpc.refusal("ModelInfer", infer_request("held", {"x": ONES}))
        assert refused.code is grpc.StatusCode.UNAVAILABLE
        seen = await stand.scrape()
        stand.runner.begun.clear()
        stand.runner.release()
        await stand.runner.begun.wait()
        stand.runner.release()
    assert seen.counts("nv_inference_request_failure", "reason", model="held") == {"REJECTED": 1}
    assert seen.counts("onnxd_requests_refused_total", "reason") == {"QueueFull": 1}


async def test_a_run_that_fails_is_the_backends_failure(stand: Stand) -> None:
    assert (await stand.http.infer(json.loads(INFER), "failing")).status == 500
    seen = await stand.scrape()
    assert seen.counts("nv_inference_request_failure", "reason", model="failing") == {"BACKEND": 1}
    assert seen.counts("onnxd_requests_refused_total", "reason") == {"ExecutionFailed": 1}


async def test_an_error_that_comes_as_an_event_is_counted_like_any_other(stand: Stand) -> None:
    path = "/v2/models/failing/generate_stream"
    assert (await stand.http.post(path, b'{"x":[1,2,3,4]}')).headers["content-type"].startswith("text/event")
    assert (await stand.http.post(path, b"{")).status == 400
    seen = await stand.scrape()
    assert seen.counts("onnxd_requests_refused_total", "reason") == {
        "ExecutionFailed": 1,
        "MalformedPayload": 1,
    }


async def test_a_request_that_does_not_fit_is_refused_before_the_models_counters(stand: Stand) -> None:
    before = await stand.scrape()
    wrong = {"x": np.ones((1, 5), np.float32)}
    await stand.grpc.refusal("ModelInfer", infer_request("identity", wrong))
    document = {"inputs": [{"name": "x", "shape": [1, 5], "datatype": "FP32", "data": [1] * 5}]}
    assert (await stand.http.infer(document)).status == 400
    after = await stand.scrape()
    assert after.counts("onnxd_requests_refused_total", "reason") == {"TensorMismatch": 2}
    for name, labels in before.series(model="identity"):
        assert after.samples[name][labels] == before.samples[name][labels], name


async def test_each_error_is_counted_by_its_class_over_both_protocols(stand: Stand) -> None:
    assert (await stand.http.post("/v2/models/identity/infer", b"{")).status == 400
    assert (await stand.http.get("/v2/models/nobody")).status == 404
    assert (await stand.http.get("/nowhere")).status == 404
    assert (await stand.http.send(request_bytes("PUT", "/v2"))).status == 405
    await stand.grpc.refusal("ModelMetadata", pb.ModelMetadataRequest(name="nobody"))
    await stand.grpc.refusal("ModelMetadata", b"\xff\xff")
    await stand.grpc.refusal("ModelMetadata", pb.ModelMetadataRequest(name="identity", version="x"))
    stream = stand.grpc.stream()
    await stream.write(infer_request("nobody", {"x": ONES}))
    assert (await stream.read()).error_message
    await stream.done_writing()
    assert (await stand.scrape()).counts("onnxd_requests_refused_total", "reason") == {
        "MalformedPayload": 2,
        "ModelNotFound": 3,
        "NotFound": 1,
        "NotSupported": 1,
        "InvalidName": 1,
    }


async def test_B7_no_name_that_is_merely_asked_for_becomes_a_label(stand: Stand) -> None:
    before = (await stand.scrape()).series()
    for number in range(200):
        assert (await stand.http.get(f"/v2/models/nobody{number}")).status == 404
        await stand.grpc.refusal("ModelMetadata", pb.ModelMetadataRequest(name=f"none{number}"))
    assert (await stand.scrape()).series() == before


class Everybody:
    """Obeys onnxd.security.gate.Authenticator: each credential is somebody's."""

    def identify(self, credential: str, now_s: float) -> Caller | None:
        return Caller(Principal(credential), EVERYTHING)


async def test_K7_callers_are_no_labels_and_are_remembered_up_to_a_bound() -> None:
    models = serving(served_version(identity_spec()))
    gate = Gate([Everybody()], rates=Rates(RateConfig(per_second=1000.0, max_tracked=50)))
    async with http_server(models, gate=gate, metrics=Metrics(models.observe)) as http:

        async def series(caller: str) -> set[object]:
            answer = await http.send(request_bytes("GET", "/metrics", headers={"X-API-Key": caller}))
            return set(Scrape.of(answer.body.decode()).series())

        async def ask(caller: str) -> None:
            answer = await http.post("/v2/models/identity/infer", INFER, {"X-API-Key": caller})
            assert answer.status == 200

        await ask("first")
        before = await series("first")
        for number in range(300):
            await ask(f"caller-{number}")
        assert await series("first") == before
        assert gate.rates.tracked <= 51
