"""A running server and models whose configs do not say how far they batch, and some that say it wrongly."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc.aio as triton_grpc
import tritonclient.http.aio as triton_http
from structlog.testing import capture_logs

from onnxd.repository.batching import BatchingConfig
from onnxd.repository.catalog import ModelState
from onnxd.tensors import Array
from tests.support import graphs
from tests.support.counterexamples import COUNTEREXAMPLES, deadly_but_for_zeros
from tests.support.independent import FOLDED, INDEPENDENT, PROBED
from tests.support.server import RunningServer, publish, running_server

CONCURRENT: Final = 64
MEAN: Final = "minus the mean of the batch"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    """With a bare MLP, and a bare model that subtracts the mean of the batch."""
    root = tmp_path_factory.mktemp("rows")
    publish(root / "models", "mlp", 1, graphs.mlp((16, 32, 4)))
    publish(root / "models", "mean", 1, COUNTEREXAMPLES[MEAN]())
    async with running_server(root / "models", root / "state") as running:
        yield running


def batch(server: RunningServer, model: str) -> int:
    return server.server.inference.spec(model, None).max_batch_size


async def ask_http(client: triton_http.InferenceServerClient, model: str, rows: Array) -> Array:
    tensor = triton_http.InferInput("x", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    answer: Array = (await client.infer(model, [tensor])).as_numpy("y")
    return answer


async def ask_grpc(client: triton_grpc.InferenceServerClient, model: str, rows: Array) -> Array:
    tensor = triton_grpc.InferInput("x", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    answer: Array = (await client.infer(model, [tensor])).as_numpy("y")
    return answer


async def ask_at_once(server: RunningServer, model: str, requests: list[Array]) -> list[Array]:
    """All of them in flight together, half over each protocol."""
    address = server.http.removeprefix("http://")
    async with (
        triton_http.InferenceServerClient(address, conn_limit=CONCURRENT) as http,
        triton_grpc.InferenceServerClient(server.grpc) as grpc,
    ):
        return await asyncio.gather(
            *(
                ask_http(http, model, rows) if number % 2 else ask_grpc(grpc, model, rows)
                for number, rows in enumerate(requests)
            )
        )


async def test_each_of_many_clients_at_once_gets_its_own_answer_of_a_model_that_must_not_batch(
    server: RunningServer,
) -> None:
    random = np.random.default_rng(0)
    requests = [
        random.standard_normal((1 + number % 4, 4)).astype(np.float32) for number in range(CONCURRENT)
    ]
    answers = await ask_at_once(server, "mean", requests)
    for rows, answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer, rows - rows.mean(axis=0, keepdims=True), atol=1e-6)
    assert batch(server, "mean") == 0


async def test_a_bare_model_with_independent_rows_really_batches(server: RunningServer) -> None:
    random = np.random.default_rng(0)
    requests = [random.standard_normal((1, 16)).astype(np.float32) for _ in range(CONCURRENT)]
    alone = [await ask_at_once(server, "mlp", [rows]) for rows in requests[:4]]
    answers = await ask_at_once(server, "mlp", requests)
    for (expected,), answer in zip(alone, answers, strict=False):
        np.testing.assert_allclose(answer, expected, rtol=1e-5)
    async with triton_http.InferenceServerClient(server.http.removeprefix("http://")) as client:
        (statistics,) = (await client.get_inference_statistics("mlp"))["model_stats"]
        config = await client.get_model_config("mlp")
        metadata = await client.get_model_metadata("mlp")
    assert statistics["inference_count"] / statistics["execution_count"] > 1
    assert (batch(server, "mlp"), config["max_batch_size"]) == (32, 32)
    assert config["dynamic_batching"]["preferred_batch_size"] == [32]
    assert config["input"][0]["dims"] == [16]
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 16]}]


async def test_the_config_of_a_model_that_is_not_batched_has_complete_shapes(server: RunningServer) -> None:
    async with triton_grpc.InferenceServerClient(server.grpc) as client:
        config = (await client.get_model_config("mean", as_json=True))["config"]
    assert config.get("max_batch_size", 0) == 0
    assert config["input"][0]["dims"] == ["-1", "4"]
    assert "dynamic_batching" not in config


async def test_more_rows_than_the_default_are_refused_with_the_number_that_is_not(
    server: RunningServer,
) -> None:
    with pytest.raises(Exception, match="takes a batch of 1 to 32 rows, got 33"):
        await ask_at_once(server, "mlp", [np.zeros((33, 16), np.float32)])
    (answer,) = await ask_at_once(server, "mean", [np.zeros((33, 4), np.float32)])
    assert answer.shape == (33, 4)


async def test_a_stated_batch_of_rows_that_are_not_independent_is_a_loud_warning(
    server: RunningServer,
) -> None:
    with capture_logs() as events:
        publish(server.repository, "stated", 1, COUNTEREXAMPLES[MEAN](), "max_batch_size: 8\n")
        await server.ready("stated")
    (warning,) = (event for event in events if event["log_level"] == "warning")
    assert warning["model"] == "stated"
    assert warning["warning"].startswith("max_batch_size: rows are not independent: row 0 of output 'y'")
    (loaded,) = (event for event in events if event["event"] == "loaded")
    assert (loaded["max_batch_size"], loaded["rows"][:24]) == (8, "rows are not independent")
    assert batch(server, "stated") == 8


async def test_a_strict_config_is_refused_with_the_evidence_and_what_served_keeps_serving(
    server: RunningServer,
) -> None:
    strict = "max_batch_size: 8\nbatching: {verify: strict}\n"
    publish(server.repository, "strict", 1, graphs.add_one(), strict)
    await server.ready("strict")
    publish(server.repository, "strict", 2, COUNTEREXAMPLES[MEAN](), strict)
    reason = await server.reason("strict", 2)
    assert reason.startswith("config.yaml:2:20: batching.verify: rows are not independent: row 0 of output")
    assert server.server.inference.versions("strict") == (1,)


async def test_verification_that_is_off_looks_at_nothing(server: RunningServer) -> None:
    off = "max_batch_size: 8\nbatching: {verify: off}\n"
    with capture_logs() as events:
        publish(server.repository, "off", 1, COUNTEREXAMPLES[MEAN](), off)
        await server.ready("off")
    assert [event["rows"] for event in events if event["event"] == "loaded"] == [None]
    assert [event for event in events if event["log_level"] == "warning"] == []


async def test_a_model_that_dies_of_the_made_up_rows_still_serves_one_by_one(server: RunningServer) -> None:
    publish(server.repository, "deadly", 1, deadly_but_for_zeros())
    await server.ready("deadly")
    assert batch(server, "deadly") == 0
    entries = [entry for entry in await server.server.lifecycle.index() if entry.name == "deadly"]
    assert [entry.state for entry in entries] == [ModelState.READY]


async def test_a_setting_says_how_far_and_zero_that_no_model_batches_unasked(
    tmp_path: Path,
) -> None:
    repository = tmp_path / "models"
    publish(repository, "mlp", 1, graphs.mlp())
    for rows in (4, 0):
        settings = BatchingConfig(default_max_batch_size=rows)
        async with running_server(repository, tmp_path / "state", batching=settings) as running:
            await running.ready("mlp")
            assert batch(running, "mlp") == rows


def verdicts(state: Path) -> list[Path]:
    return sorted((state / "verdicts").iterdir())


async def test_a_verdict_outlives_the_server_that_found_it(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    publish(repository, "folded", 1, PROBED[FOLDED]())
    state = tmp_path / "state"
    async with running_server(repository, state) as running:
        await running.ready("folded")
        assert batch(running, "folded") == 32
    (path,) = verdicts(state)
    document = json.loads(path.read_text())
    assert document["verdict"]["outcome"] == "proven"
    shutil.rmtree(state / "trials")  # else there is nothing left to ask
    document["verdict"] |= {"outcome": "undecided", "reason": "somebody said so"}
    path.write_text(json.dumps(document))
    with capture_logs() as events:
        async with running_server(repository, state) as running:  # it goes by what is written
            await running.ready("folded")
            assert batch(running, "folded") == 0
    (loaded,) = (event for event in events if event["event"] == "loaded")
    assert loaded["rows"] == "rows are not shown to be independent: somebody said so"
    path.write_text("torn")
    shutil.rmtree(state / "trials")
    async with running_server(repository, state) as running:  # it finds out again
        await running.ready("folded")
        assert batch(running, "folded") == 32


async def test_content_that_is_known_is_not_probed_again_under_another_name(server: RunningServer) -> None:
    state = server.repository.parent / "state"
    publish(server.repository, "one", 1, INDEPENDENT["a convolution"]())
    await server.ready("one")
    before = verdicts(state)
    publish(server.repository, "other", 1, INDEPENDENT["a convolution"]())
    await server.ready("other")
    assert verdicts(state) == before


async def test_a_config_that_states_complete_shapes_serves_as_before(server: RunningServer) -> None:
    publish(server.repository, "whole", 1, graphs.add_one(), "inputs: [{name: x, shape: [-1, 4]}]\n")
    await server.ready("whole")
    assert batch(server, "whole") == 0


async def test_triton_configs_are_completed_where_triton_would(server: RunningServer) -> None:
    pbtxt = {
        "bare": "",
        "named": 'backend: "onnxruntime"',
        "half": 'input [{ name: "x" data_type: TYPE_FP32 dims: [ 4 ] }]',
        "full": (
            'input [{ name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] }]'
            'output [{ name: "y" data_type: TYPE_FP32 dims: [ -1, 4 ] }]'
        ),
    }
    for name, text in pbtxt.items():
        directory = server.repository / name
        directory.mkdir()
        (directory / "config.pbtxt").write_text(text)
        publish(server.repository, name, 1, graphs.add_one())
        await server.ready(name)
    assert {name: batch(server, name) for name in pbtxt} == {"bare": 32, "named": 32, "half": 32, "full": 0}
