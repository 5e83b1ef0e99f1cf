"""Model directories of Triton's, served to Triton's clients as they are."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from onnxd.tensors import Datatype
from tests.contract.conftest import CLIENTS
from tests.contract.wire_client import Array, Kind, Refused, Request, WireClient
from tests.support import graphs
from tests.support.server import RunningServer, running_server
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

FP32 = "data_type: TYPE_FP32"
MODELS: dict[str, tuple[bytes, str]] = {
    "squares": (
        graphs.identity(dims=("batch", 2, 2)),
        f"""
        max_batch_size: 8
        input [ {{ name: "x" {FP32} dims: [ 4 ] reshape {{ shape: [ 2, 2 ] }} }} ]
        output [ {{
            name: "y" {FP32} dims: [ 4, 1 ] reshape {{ shape: [ 2, 2 ] }} label_filename: "labels.txt"
        }} ]
        dynamic_batching {{ }}
        """,
    ),
    "columns": (
        graphs.identity(dims=("batch", "n", 3, 1)),
        f"""
        max_batch_size: 8
        input {{ name: "x" {FP32} dims: [ -1, 3 ] reshape {{ shape: [ -1, 3, 1 ] }} }}
        output {{ name: "y" {FP32} dims: [ 1, -1, 3 ] reshape {{ shape: [ -1, 3, 1 ] }} }}
        """,
    ),
    "row_scalars": (
        graphs.identity(dims=("batch",)),
        f"""
        max_batch_size: 8
        input {{ name: "x" {FP32} dims: [ 1 ] reshape {{ shape: [ ] }} }}
        output {{ name: "y" {FP32} dims: [ 1 ] reshape {{ shape: [ ] }} }}
        """,
    ),
    "scalar": (
        graphs.scalar(),
        f'input {{ name: "x" {FP32} dims: [ 1 ] }} output {{ name: "y" {FP32} dims: [ 1 ] }}',
    ),
    "texts": (
        graphs.identity(Datatype.BYTES, ("batch", 2, 1)),
        """
        max_batch_size: 2
        input { name: "x" data_type: TYPE_STRING dims: [ 2 ] reshape { shape: [ 2, 1 ] } }
        output { name: "y" data_type: TYPE_STRING dims: [ 2 ] reshape { shape: [ 2, 1 ] } }
        """,
    ),
    "mean": (
        graphs.minus_batch_mean(),
        f"""
        max_batch_size: 8
        input {{ name: "x" {FP32} dims: [ 4 ] }}
        output {{ name: "y" {FP32} dims: [ 4 ] }}
        """,
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("triton")
    for name, (graph, config) in MODELS.items():
        (root / "models" / name / "1").mkdir(parents=True)
        (root / "models" / name / "1" / "model.onnx").write_bytes(graph)
        (root / "models" / name / "config.pbtxt").write_text(config)
    (root / "models" / "squares" / "labels.txt").write_text("a\nb\nc\nd\n")
    weighty = root / "models" / "weighty"
    (weighty / "1" / "model.onnx").mkdir(parents=True)
    graphs.save_with_external_data(weighty / "1" / "model.onnx" / "model.onnx")
    (weighty / "config.pbtxt").write_text('platform: "onnxruntime_onnx" max_batch_size: 4')
    async with running_server(root / "models", root / "state") as running:
        yield running


async def infer(client: WireClient, model: str, x: Array) -> Array:
    return (await client.infer(model, Request({"x": x}))).outputs["y"]


def numbers(*shape: int) -> Array:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


# Reshape. `client` is every client in turn.


@pytest.mark.parametrize(
    ("model", "sent", "answered"),
    [
        pytest.param("squares", (3, 4), (3, 4, 1), id="both-ways"),
        pytest.param("columns", (2, 5, 3), (2, 1, 5, 3), id="with-a-free-size"),
        pytest.param("columns", (2, 0, 3), (2, 1, 0, 3), id="with-a-free-size-of-nothing"),
        pytest.param("row_scalars", (3, 1), (3, 1), id="rows-that-are-scalars"),
        pytest.param("scalar", (1,), (1,), id="a-scalar-stated-as-one"),
    ],
)
async def test_clients_see_the_stated_shapes(
    client: WireClient, model: str, sent: tuple[int, ...], answered: tuple[int, ...]
) -> None:
    x = numbers(*sent)
    y = await infer(client, model, x)
    assert y.shape == answered
    assert y.reshape(-1).tolist() == (x + (model == "scalar")).reshape(-1).tolist()


async def test_texts_are_reshaped_too(client: WireClient) -> None:
    x = np.array([[b"a", b""], ["é".encode(), b"d"]], np.object_)
    assert (await infer(client, "texts", x)).tolist() == x.tolist()


async def test_the_graphs_own_shape_is_refused(client: WireClient) -> None:
    with pytest.raises(Refused) as caught:
        await infer(client, "squares", numbers(1, 2, 2))
    assert caught.value.kind is Kind.INVALID
    assert "expects shape [-1,4]" in caught.value.message


async def test_classes_are_those_of_the_reshaped_output(client: WireClient) -> None:
    reply = await client.infer("squares", Request({"x": numbers(2, 4)}, classes={"y": 2}))
    assert reply.outputs["y"].tolist() == [
        [b"3.000000:3:d", b"2.000000:2:c"],
        [b"7.000000:3:d", b"6.000000:2:c"],
    ]


async def test_metadata_has_the_shapes_that_clients_see(client: WireClient) -> None:
    metadata = await client.metadata("columns")
    assert [tensor.shape for tensor in metadata.inputs + metadata.outputs] == [(-1, -1, 3), (-1, 1, -1, 3)]


# The rest through one client.


async def test_requests_of_a_model_without_dynamic_batching_are_not_put_together(
    server: RunningServer,
) -> None:
    async with CLIENTS["tritonclient.grpc.aio"](server) as client:
        sent = [numbers(2, 4) * (index + 1) for index in range(16)]
        answers = await asyncio.gather(*(infer(client, "mean", x) for x in sent))
    for x, y in zip(sent, answers, strict=True):
        assert y.tolist() == (x - x.mean(axis=0)).tolist()
    assert server.server.inference.served("mean", None).statistics.snapshot().execution_count == 16


async def test_a_graph_in_a_directory_of_its_own_finds_its_weights(server: RunningServer) -> None:
    async with CLIENTS["tritonclient.grpc.aio"](server) as client:
        x = numbers(2, 64)
        assert (await infer(client, "weighty", x)).tolist() == x.tolist()


async def test_a_change_of_the_file_is_a_reload(server: RunningServer) -> None:
    _rewrite(
        server.repository / "scalar",
        MODELS["scalar"][1] + 'parameters { key: "a" value { string_value: "1" } }',
    )
    await until(lambda: server.server.inference.served("scalar", None).config.parameters == {"a": "1"})


async def test_a_fault_keeps_what_serves_and_the_index_names_line_and_column(server: RunningServer) -> None:
    _rewrite(server.repository / "texts", "max_batch_size: 2\nresponse_cash { enable: true }")
    reason = await server.reason("texts", 1)
    assert "config.pbtxt:2:1: unknown field 'response_cash'; did you mean response_cache?" in reason
    assert server.server.inference.model_ready("texts", 1)


async def test_a_config_yaml_beside_it_counts(server: RunningServer) -> None:
    (server.repository / "row_scalars" / "config.yaml").write_text("max_batch_size: 3\n")
    await until(lambda: server.server.inference.spec("row_scalars", None).max_batch_size == 3)
    (server.repository / "row_scalars" / "config.yaml").unlink()
    await until(lambda: server.server.inference.spec("row_scalars", None).max_batch_size == 8)


async def test_a_directory_without_a_graph_in_it_is_said_to_be_one(server: RunningServer) -> None:
    draft = server.repository / "hollow.tmp"
    (draft / "1" / "model.onnx").mkdir(parents=True)
    (draft / "1" / "model.onnx" / "weights.bin").write_bytes(b"x")
    draft.rename(server.repository / "hollow")
    assert "'model.onnx' is a directory without the file 'model.onnx' in it" in await server.reason(
        "hollow", 1
    )
    shutil.rmtree(server.repository / "hollow")


def _rewrite(model: Path, text: str) -> None:
    draft = model / ".config.pbtxt.tmp"
    draft.write_text(text)
    draft.rename(model / "config.pbtxt")
