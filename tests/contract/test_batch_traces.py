"""Traces through the batch, as Jaeger would show them: a real OTLP receiver, a real server, many clients."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import tritonclient.grpc.aio as triton

import onnxd.telemetry.setup
from onnxd.telemetry.recent import RecentConfig
from onnxd.telemetry.setup import TracingConfig
from tests.support.graphs import add_one
from tests.support.otlp_receiver import GrpcReceiver, ReceivedSpan
from tests.support.scraping import Scrape
from tests.support.server import RunningServer, publish, running_server

BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


@asynccontextmanager
async def traced_server(
    path: Path, receiver: GrpcReceiver, *, sample_ratio: float, slow_s: float | None = None
) -> AsyncIterator[RunningServer]:
    publish(path / "models", "m", 1, add_one(), "max_batch_size: 8\n")
    tracing = TracingConfig(endpoint=receiver.endpoint, sample_ratio=sample_ratio)
    async with running_server(
        path / "models", path / "state", tracing=tracing, recent=RecentConfig(slow=slow_s)
    ) as server:
        yield server


async def ask(server: RunningServer, body: object = BODY, **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.http}/v2/models/m/infer", json=body, headers=headers) as response,
    ):
        return response.status


async def ask_over_grpc(client: triton.InferenceServerClient) -> None:
    tensor = triton.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
    await client.infer("m", [tensor])


def place(span: ReceivedSpan) -> tuple[str, str]:
    return span.trace_id, span.span_id


def by_start(span: ReceivedSpan) -> int:
    return span.start_ns


def links(spans: list[ReceivedSpan]) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    """From where to where."""
    return {(place(span), link) for span in spans for link in span.links}


async def test_requests_and_their_batches_are_linked_both_ways(tmp_path: Path) -> None:
    async with GrpcReceiver() as receiver:
        async with (
            traced_server(tmp_path, receiver, sample_ratio=1.0) as server,
            triton.InferenceServerClient(server.grpc) as client,
            asyncio.TaskGroup() as callers,
        ):
            for _ in range(32):
                callers.create_task(ask(server))
                callers.create_task(ask_over_grpc(client))
        requests = [span for span in receiver.spans if span.name == "onnxd.infer"]
        batches = [span for span in receiver.spans if span.name == "onnxd.batch"]
    assert len(requests) == 64
    assert all(len(span.links) == 1 for span in requests)
    assert links(requests) == {(there, here) for here, there in links(batches)}
    assert {place(batch) for batch in batches} == {link for span in requests for link in span.links}
    for batch in batches:
        assert batch.parent_id == ""
        assert len(batch.links) == batch.attributes["onnxd.batch.requests"]
        mates = [span for span in requests if place(batch) in span.links]
        assert {span.attributes["onnxd.batch.rows"] for span in mates} == {
            batch.attributes["onnxd.batch.rows"]
        }
        assert {span.attributes["onnxd.batch.cut"] for span in mates} == {batch.attributes["onnxd.batch.cut"]}
    for batch in batches:
        below = sorted((span for span in receiver.spans if span.parent_id == batch.span_id), key=by_start)
        assert [span.name for span in below] == ["onnxd.stack", "onnxd.run", "onnxd.split"]
        assert [batch.start_ns, *(span.end_ns for span in below)] == [
            *(span.start_ns for span in below), batch.end_ns,
        ]  # fmt: skip
    seen = batches[0].attributes
    assert (seen["onnxd.model.name"], seen["onnxd.model.version"]) == ("m", 1)
    assert seen["onnxd.provider"] == "CPUExecutionProvider"
    assert len(str(seen["onnxd.model.content"])) == 64
    assert (seen["onnxd.instance"], seen["onnxd.batch.padding_elements"]) == (0, 0)


async def test_a_batch_has_a_span_when_one_of_its_requests_is_traced(tmp_path: Path) -> None:
    async with GrpcReceiver() as receiver:
        async with (
            traced_server(tmp_path, receiver, sample_ratio=0.0) as server,
            asyncio.TaskGroup() as callers,
        ):
            for number in range(16):
                headers = {"traceparent": f"{CALLER}-01"} if number == 0 else {}
                callers.create_task(ask(server, **headers))
        (request,) = (span for span in receiver.spans if span.name == "onnxd.infer")
        (batch,) = (span for span in receiver.spans if span.name == "onnxd.batch")
    assert (request.links, batch.links) == ((place(batch),), (place(request),))


async def test_what_fails_is_traced_whatever_was_sampled(tmp_path: Path) -> None:
    async with GrpcReceiver() as receiver:
        async with traced_server(tmp_path, receiver, sample_ratio=0.0) as server:
            assert await ask(server) == 200
            assert await ask(server, {"inputs": []}) == 400
            assert await ask(server, {"inputs": []}, traceparent=f"{CALLER}-00") == 400
        (request,) = (span for span in receiver.spans if span.name == "onnxd.infer")
    assert request.attributes["error.type"] == "TensorMismatch"
    assert request.trace_id not in CALLER


async def test_what_is_slow_is_traced_whatever_was_sampled(tmp_path: Path) -> None:
    async with GrpcReceiver() as receiver:
        # Any request takes longer than a microsecond.
        async with traced_server(tmp_path, receiver, sample_ratio=0.0, slow_s=1e-6) as server:
            assert await ask(server) == 200
            assert await ask(server, traceparent=f"{CALLER}-00") == 200
        (request,) = (span for span in receiver.spans if span.name == "onnxd.infer")
        (batch,) = (span for span in receiver.spans if span.name == "onnxd.batch")
    assert (request.links, batch.links) == ((place(batch),), (place(request),))


async def test_a_client_that_asks_is_told_its_times_and_its_trace(tmp_path: Path) -> None:
    async with GrpcReceiver() as receiver:
        async with (
            traced_server(tmp_path, receiver, sample_ratio=1.0) as server,
            aiohttp.ClientSession() as session,
            session.post(
                f"{server.http}/v2/models/m/infer",
                json=BODY,
                headers={"x-onnxd-timing": "1", "x-request-id": "r-1"},
            ) as answer,
        ):
            told = answer.headers
        (request,) = (span for span in receiver.spans if span.name == "onnxd.infer")
    assert told["traceparent"] == f"00-{request.trace_id}-{request.span_id}-01"
    assert told["x-onnxd-batch"] == "rows=1, requests=1, cut=idle"
    assert int(told["x-onnxd-queue-us"]) >= 0
    assert int(told["x-onnxd-compute-us"]) > 0
    assert told["x-request-id"] == "r-1"
    assert request.attributes["onnxd.request.id"] == "r-1"


async def test_K6_a_collector_that_never_answers_costs_spans_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxd.telemetry.setup, "_QUEUE_SPANS", 60)
    publish(tmp_path / "models", "m", 1, add_one(), "max_batch_size: 8\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracing = TracingConfig(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        async with (
            running_server(tmp_path / "models", tmp_path / "state", tracing=tracing) as server,
            aiohttp.ClientSession() as session,
        ):
            for _ in range(40):
                assert await ask(server) == 200
            async with session.get(server.metrics) as answer:
                spans = Scrape.of(await answer.text()).counts("onnxd_trace_spans_total", "result")
    # 40 requests are 200 spans, of which 60 wait, and at most 60 are with the exporter.
    assert spans["dropped"] >= 80
    assert "sent" not in spans
