"""A server among others like it: when it has started, when it is ready, and which one it is."""

from pathlib import Path

import aiohttp
import numpy as np
import pytest

from onnxd.inference import InferenceConfig, InferenceService
from onnxd.telemetry.identity import IdentityConfig
from onnxd.telemetry.metric_export import MetricExportConfig
from onnxd.telemetry.setup import TracingConfig
from tests.support.graphs import add_one
from tests.support.grpc_server import grpc_calls, infer_request
from tests.support.http_server import http_server
from tests.support.otlp_receiver import GrpcReceiver, MetricsReceiver
from tests.support.scraping import Scrape
from tests.support.server import RunningServer, publish, running_server
from tests.support.serving import Serving, serving

IDENTITY = IdentityConfig(pod="onnxd-7d9c5-x2x9p", node="node-1", namespace="vision")
BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
PROBES = ("started", "ready", "live")
TIMING = {"x-onnxd-timing": "1"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    publish(tmp_path / "models", "good", 1, add_one(), "max_batch_size: 8\n")
    return tmp_path / "models"


async def probes(server: RunningServer) -> dict[str, int]:
    statuses = {}
    async with aiohttp.ClientSession() as session:
        for probe in PROBES:
            async with session.get(f"{server.http}/v2/health/{probe}") as answer:
                statuses[probe] = answer.status
    return statuses


async def test_before_the_first_load_is_over_a_server_is_live_and_no_more() -> None:
    ready = serving()
    starting = Serving(ready.catalog, InferenceService(ready.catalog, InferenceConfig()), ready.control)
    async with http_server(starting) as server:
        answers = {name: (await server.get(f"/v2/health/{name}")).status for name in PROBES}
    assert answers == {"started": 503, "ready": 503, "live": 200}


async def test_the_three_probes_differ_from_the_start_to_the_drain(repository: Path, tmp_path: Path) -> None:
    async with running_server(repository, tmp_path / "state", ready_models=("good",)) as running:
        server = running.server
        assert await probes(running) == {"started": 200, "ready": 200, "live": 200}
        await server.lifecycle.unload("good")
        assert await probes(running) == {"started": 200, "ready": 503, "live": 200}
        await server.lifecycle.load("good")
        server.inference.begin_drain()
        assert await probes(running) == {"started": 200, "ready": 503, "live": 200}


async def test_a_model_that_does_not_load_keeps_the_replica_from_work_but_does_not_restart_it(
    repository: Path, tmp_path: Path
) -> None:
    publish(repository, "broken", 1, b"not a graph")
    async with running_server(repository, tmp_path / "state", ready_models=("good", "broken")) as server:
        assert await probes(server) == {"started": 200, "ready": 503, "live": 200}
        publish(repository, "broken", 1, add_one())
        await server.ready("broken")
        assert await probes(server) == {"started": 200, "ready": 200, "live": 200}


async def test_a_model_that_is_not_there_yet_is_waited_for(repository: Path, tmp_path: Path) -> None:
    async with running_server(repository, tmp_path / "state", ready_models=("later",)) as server:
        assert (await probes(server))["ready"] == 503
        publish(repository, "later", 1, add_one())
        await server.ready("later")
        assert (await probes(server))["ready"] == 200


async def test_models_that_are_not_named_do_not_matter(repository: Path, tmp_path: Path) -> None:
    publish(repository, "broken", 1, b"not a graph")
    async with running_server(repository, tmp_path / "state", ready_models=("good",)) as server:
        assert (await probes(server))["ready"] == 200


async def test_a_caller_who_asks_is_told_which_replica_ran_which_files(
    repository: Path, tmp_path: Path
) -> None:
    async with running_server(repository, tmp_path / "state", identity=IDENTITY) as server:
        async with aiohttp.ClientSession() as session:
            async with session.post(
                f"{server.http}/v2/models/good/infer", json=BODY, headers=TIMING
            ) as answer:
                told = answer.headers
            async with session.get(server.metrics) as answer:
                scrape = Scrape.of(await answer.text())
        async with grpc_calls(server.grpc) as calls:
            row = infer_request("good", {"x": np.ones((1, 4), np.float32)})
            call = calls.start("ModelInfer", row, metadata=tuple(TIMING.items()))
            await call
            trailing = dict(await call.trailing_metadata())
    content = told["x-onnxd-model-content"]
    assert (told["x-onnxd-replica"], len(content)) == (IDENTITY.pod, 64)
    assert (trailing["x-onnxd-replica"], trailing["x-onnxd-model-content"]) == (IDENTITY.pod, content)
    identity = {"pod": IDENTITY.pod, "node": IDENTITY.node, "namespace": IDENTITY.namespace}
    assert scrape.value("onnxd_identity_info", **identity) == 1
    assert scrape.value("onnxd_model_info", model="good", version="1", content=content) == 1


async def test_equal_files_have_equal_content_on_every_replica(repository: Path, tmp_path: Path) -> None:
    publish(tmp_path / "copy", "good", 1, add_one(), "max_batch_size: 8\n")
    contents = []
    for number, models in enumerate((repository, tmp_path / "copy")):
        async with running_server(models, tmp_path / f"state{number}") as server:
            (seen,) = server.server.inference.observe()
            contents.append(seen.content)
    assert len(set(contents)) == 1


async def test_traces_and_metrics_are_sent_for_the_pod(repository: Path, tmp_path: Path) -> None:
    async with GrpcReceiver() as traces, MetricsReceiver() as metrics:
        async with (
            running_server(
                repository,
                tmp_path / "state",
                identity=IDENTITY,
                tracing=TracingConfig(endpoint=traces.endpoint),
                metric_export=MetricExportConfig(endpoint=metrics.endpoint),
            ) as server,
            aiohttp.ClientSession() as session,
        ):
            await session.post(f"{server.http}/v2/models/good/infer", json=BODY)
        await traces.wait_for(1)
        for resource in (traces.spans[0].resource, metrics.resource):
            assert resource["service.instance.id"] == IDENTITY.pod
            assert resource["k8s.pod.name"] == IDENTITY.pod
            assert resource["k8s.node.name"] == "node-1"
            assert resource["k8s.namespace.name"] == "vision"
