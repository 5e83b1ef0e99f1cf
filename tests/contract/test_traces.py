"""Traces as Jaeger would show them: a real OTLP receiver, the real exporter, both protocols."""

from pathlib import Path

import aiohttp
import numpy as np
import pytest
import tritonclient.grpc.aio as triton

from onnxd.telemetry.setup import TracingConfig
from tests.support.graphs import add_one
from tests.support.otlp_receiver import GrpcReceiver, tree
from tests.support.server import RunningServer, publish, running_server

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}], "id": "seven"}
WHOLE = [
    "onnxd.infer", "  onnxd.decode", "  onnxd.queue", "  onnxd.execute", "  onnxd.encode", "onnxd.batch",
    "  onnxd.stack", "  onnxd.run", "  onnxd.split",
]  # fmt: skip


async def ask_http(server: RunningServer, body: object) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{server.http}/v2/models/m/infer", json=body, headers={"traceparent": TRACEPARENT}
        ) as response,
    ):
        return response.status


async def ask_grpc(server: RunningServer) -> None:
    tensor = triton.InferInput("x", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 4), np.float32))
    async with triton.InferenceServerClient(server.grpc) as client:
        await client.infer("m", [tensor], request_id="seven", headers={"traceparent": TRACEPARENT})


@pytest.mark.parametrize("wire", ["http", "grpc"])
async def test_a_request_is_one_server_span_with_its_stages_below(wire: str, tmp_path: Path) -> None:
    publish(tmp_path / "models", "m", 1, add_one(), "max_batch_size: 8\n")
    async with GrpcReceiver() as receiver:
        tracing = TracingConfig(endpoint=receiver.endpoint)
        async with running_server(tmp_path / "models", tmp_path / "state", tracing=tracing) as server:
            if wire == "http":
                assert await ask_http(server, BODY) == 200
            else:
                await ask_grpc(server)
        spans = receiver.spans
    assert tree(spans) == WHOLE
    root = next(span for span in spans if span.name == "onnxd.infer")
    assert (root.trace_id, root.parent_id) == (TRACE, PARENT)
    assert root.attributes["onnxd.model.name"] == "m"
    assert root.attributes["onnxd.request.id"] == "seven"
    assert root.attributes["onnxd.batch.rows"] == 1


async def test_a_refused_request_has_the_stages_that_it_reached_and_its_error(tmp_path: Path) -> None:
    publish(tmp_path / "models", "m", 1, add_one(), "max_batch_size: 8\n")
    async with GrpcReceiver() as receiver:
        tracing = TracingConfig(endpoint=receiver.endpoint)
        async with running_server(tmp_path / "models", tmp_path / "state", tracing=tracing) as server:
            assert await ask_http(server, {"inputs": []}) == 400
        spans = receiver.spans
    assert tree(spans) == ["onnxd.infer", "  onnxd.decode"]
    root = next(span for span in spans if span.name == "onnxd.infer")
    assert root.status_message.startswith("TensorMismatch: ")


@pytest.mark.parametrize("name", ["traceparent", "tracestate", "baggage"])
async def test_K5_what_is_malformed_of_a_callers_trace_fails_no_request(name: str, tmp_path: Path) -> None:
    publish(tmp_path / "models", "m", 1, add_one(), "max_batch_size: 8\n")
    async with GrpcReceiver() as receiver:
        tracing = TracingConfig(endpoint=receiver.endpoint)
        async with (
            running_server(tmp_path / "models", tmp_path / "state", tracing=tracing) as server,
            aiohttp.ClientSession() as session,
        ):
            for value in ("", "garbage", "=;,=%00", "k=v," * 1500):
                url = f"{server.http}/v2/models/m/infer"
                async with session.post(url, json=BODY, headers={name: value}) as answer:
                    assert answer.status == 200
        roots = [span for span in receiver.spans if span.name == "onnxd.infer"]
    assert len(roots) == 4
    assert {span.parent_id for span in roots} == {""}


async def test_a_request_that_the_caller_does_not_sample_leaves_no_span(tmp_path: Path) -> None:
    publish(tmp_path / "models", "m", 1, add_one(), "max_batch_size: 8\n")
    async with GrpcReceiver() as receiver:
        tracing = TracingConfig(endpoint=receiver.endpoint, sample_ratio=0.0)
        async with (
            running_server(tmp_path / "models", tmp_path / "state", tracing=tracing) as server,
            aiohttp.ClientSession() as session,
            session.post(f"{server.http}/v2/models/m/infer", json=BODY) as response,
        ):
            assert response.status == 200
        assert receiver.spans == []
