"""Requests of different size, sent by every client at once: each has the answer that it has by itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import numpy as np
import pytest
import pytest_asyncio

from onnxd.runtime.onnx_session import OnnxSession
from onnxd.tensors import Datatype
from tests.contract.conftest import CLIENTS
from tests.contract.wire_client import Array, Kind, Refused, Request, WireClient
from tests.support import graphs, sequence_graphs
from tests.support.scraping import Scrape
from tests.support.sequences import opened
from tests.support.server import RunningServer, publish, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOLERANCE: Final = 1e-5
"""Absolute, of values around 1: another order of additions."""
MASKED: Final = (
    "max_batch_size: 8\ndynamic_axes: {seq: {buckets: [4, 8, 16], mask_input: mask}}\n"
    "batching: {max_queue_delay: 20ms}\n"
)
RAGGED: Final = """
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
output { name: "sums" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "doubled" data_type: TYPE_FP32 dims: [ -1 ] }
batch_input {
  kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: "ends" data_type: TYPE_INT32 source_input: "x"
}
batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "doubled" source_input: "x" }
dynamic_batching { max_queue_delay_microseconds: 20000 }
"""
GRAPHS: Final = {"mean": sequence_graphs.masked_mean(), "attention": sequence_graphs.masked_attention()}
AT_ONCE: Final = 24
PLAIN: Final = "max_batch_size: 8\ndynamic_axes: {seq: {buckets: [4, 8]}}\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("shapes")
    models = root / "models"
    for name, graph in GRAPHS.items():
        publish(models, name, 1, graph, MASKED)
    publish(models, "text", 1, graphs.identity(Datatype.BYTES, ("batch", "seq")), PLAIN)
    publish(models, "ragged", 1, sequence_graphs.ragged_sums())
    (models / "ragged" / "config.pbtxt").write_text(RAGGED)
    async with running_server(models, root / "state", model_control="none") as running:
        yield running


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, OnnxSession]:
    """The same graphs without a server."""
    return {name: opened(tmp_path_factory.mktemp(name), graph) for name, graph in GRAPHS.items()}


def texts(count: int, seed: int) -> list[Array]:
    """Token ids of 1 to 3 rows and 1 to 16 tokens."""
    random = np.random.default_rng(seed)
    return [
        random.integers(0, sequence_graphs.VOCABULARY, (random.integers(1, 4), random.integers(1, 17)))
        for _ in range(count)
    ]


@pytest.mark.parametrize("model", GRAPHS)
async def test_padded_answers_are_those_of_single_runs(
    model: str, client: WireClient, sessions: dict[str, OnnxSession]
) -> None:
    sent = texts(AT_ONCE, seed=1)
    replies = await asyncio.gather(*(client.infer(model, Request({"ids": ids})) for ids in sent))
    for ids, reply in zip(sent, replies, strict=True):
        expected = sessions[model].run({"ids": ids, "mask": np.ones_like(ids)})
        assert reply.outputs.keys() == expected.keys()
        for name, array in expected.items():
            assert reply.outputs[name].shape == array.shape
            np.testing.assert_allclose(reply.outputs[name], array, rtol=0, atol=TOLERANCE)


async def test_masks_that_are_sent_count_beside_those_that_are_not(
    client: WireClient, sessions: dict[str, OnnxSession]
) -> None:
    ids = np.arange(6).reshape(1, 6)
    mask = np.array([[1, 0, 1, 1, 0, 0]])
    own, bare = await asyncio.gather(
        client.infer("mean", Request({"ids": ids, "mask": mask})), client.infer("mean", Request({"ids": ids}))
    )
    for reply, used in ((own, mask), (bare, np.ones_like(ids))):
        expected = sessions["mean"].run({"ids": ids, "mask": used})
        np.testing.assert_allclose(reply.outputs["pooled"], expected["pooled"], rtol=0, atol=TOLERANCE)


async def test_text_is_padded_with_empty_text_that_nobody_sees(client: WireClient) -> None:
    sent = [np.array([[b"a", b"b", b"c"]], np.object_), np.array([[b"d"], [b""]], np.object_)]
    replies = await asyncio.gather(*(client.infer("text", Request({"x": text})) for text in sent))
    assert [reply.outputs["y"].tolist() for reply in replies] == [text.tolist() for text in sent]


async def test_ragged_answers_are_those_of_single_runs(client: WireClient) -> None:
    sent = [np.arange(size, dtype=np.float32).reshape(1, size) for size in (3, 1, 7, 2, 5, 4) * 4]
    replies = await asyncio.gather(*(client.infer("ragged", Request({"x": x})) for x in sent))
    for x, reply in zip(sent, replies, strict=True):
        assert reply.outputs["sums"].tolist() == [[x.sum()]]
        assert reply.outputs["doubled"].tolist() == (2 * x).tolist()


async def test_a_request_that_fits_no_bucket_is_told_which_there_are(client: WireClient) -> None:
    with pytest.raises(Refused) as caught:
        await client.infer("mean", Request({"ids": np.zeros((1, 17), np.int64)}))
    assert caught.value.kind is Kind.INVALID
    assert "its buckets are 4, 8, 16" in caught.value.message


async def test_inputs_that_disagree_on_an_axis_are_refused(client: WireClient) -> None:
    ids, mask = np.zeros((1, 3), np.int64), np.ones((1, 4), np.int64)
    with pytest.raises(Refused) as caught:
        await client.infer("mean", Request({"ids": ids, "mask": mask}))
    assert caught.value.kind is Kind.INVALID
    assert "input 'mask' has size 4 on the axis 'seq', but input 'ids' has 3" in caught.value.message


async def test_a_ragged_request_of_more_rows_than_the_model_answers_fails_with_the_reason(
    client: WireClient,
) -> None:
    with pytest.raises(Refused) as caught:
        await client.infer("ragged", Request({"x": np.ones((2, 3), np.float32)}))
    assert "send one row in each" in caught.value.message


async def test_the_mask_is_an_input_that_may_be_left_out_and_batch_inputs_are_none(
    client: WireClient,
) -> None:
    config = await client.config("mean")
    assert {name: optional for name, (_, _, optional) in config.inputs.items()} == {
        "ids": False,
        "mask": True,
    }
    assert [tensor.name for tensor in (await client.metadata("mean")).inputs] == ["ids", "mask"]
    assert [tensor.name for tensor in (await client.metadata("ragged")).inputs] == ["x"]


async def _scrape(server: RunningServer) -> Scrape:
    async with aiohttp.ClientSession() as session, session.get(server.metrics) as response:
        return Scrape.of(await response.text())


async def test_requests_shared_runs_and_the_waste_is_measured(server: RunningServer) -> None:
    def of(scrape: Scrape, name: str) -> float:
        return scrape.value(name, model="mean")

    async with CLIENTS["tritonclient.grpc.aio"](server) as client:
        before = await _scrape(server)
        sent = texts(AT_ONCE, seed=2)
        await asyncio.gather(*(client.infer("mean", Request({"ids": ids})) for ids in sent))
        after = await _scrape(server)
    names = ("onnxd_dynamic_elements_total", "onnxd_padding_elements_total", "nv_inference_exec_count")
    elements, padding, runs = (of(after, name) - of(before, name) for name in names)
    assert elements - padding == sum(ids.size for ids in sent)
    assert elements == sum(
        len(ids) * next(size for size in (4, 8, 16) if ids.shape[1] <= size) for ids in sent
    )
    assert runs < AT_ONCE


# What is said at the load.


async def test_a_bucket_that_the_model_cannot_take_fails_the_load_with_its_shape(tmp_path: Path) -> None:
    publish(tmp_path / "models", "short", 1, sequence_graphs.positions(10), PLAIN.replace("8]", "16]"))
    async with running_server(tmp_path / "models", tmp_path / "state", model_control="none") as running:
        reason = await running.reason("short", 1)
    assert reason.startswith("warm-up run 2 (ids [1, 16]) failed: ")


async def test_a_ragged_model_without_dynamic_batching_runs_its_requests_one_by_one(tmp_path: Path) -> None:
    publish(tmp_path / "models", "ragged", 1, sequence_graphs.ragged_sums())
    config = RAGGED.split("dynamic_batching", maxsplit=1)[0]
    (tmp_path / "models" / "ragged" / "config.pbtxt").write_text(config)
    async with running_server(tmp_path / "models", tmp_path / "state", model_control="none") as running:
        async with CLIENTS["tritonclient.http.aio"](running) as client:
            x = np.array([[1, 2, 3]], np.float32)
            replies = await asyncio.gather(*(client.infer("ragged", Request({"x": x})) for _ in range(4)))
            assert [reply.outputs["sums"].tolist() for reply in replies] == [[[6]]] * 4
        assert running.server.inference.served("ragged", 1).statistics.snapshot().execution_count == 4


async def test_a_model_that_does_not_ignore_padding_is_served_with_a_warning(tmp_path: Path) -> None:
    publish(tmp_path / "models", "plain", 1, sequence_graphs.plain_mean(), PLAIN)
    async with running_server(tmp_path / "models", tmp_path / "state", model_control="none") as running:
        assert running.server.inference.model_ready("plain", None)
        [warning] = running.server.inference.served("plain", None).report.warnings
    assert warning.startswith("dynamic_axes: padding changes the answers of this model: output 'pooled'")
