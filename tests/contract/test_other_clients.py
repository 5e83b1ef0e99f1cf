"""A client that we cannot run here, by what it sends and reads: perf_analyzer."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import numpy as np
import pytest
import pytest_asyncio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.contract.http_cases import LENGTH
from tests.contract.wire_client import DURATIONS
from tests.support.raw_http import Answer, connect, request_bytes
from tests.support.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS = ("rows", "versions")

Ask = Callable[..., Awaitable[Answer]]
ROW: Final = np.array([[1, 2, 3, 4]], np.float32)


@pytest_asyncio.fixture(loop_scope="module")
async def ask(server: RunningServer) -> Ask:
    """A request on a connection of its own."""

    async def send(path: str, body: bytes | None = None, **headers: str) -> Answer:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        method = "GET" if body is None else "POST"
        async with connect(server.server.http.port) as connection:
            await connection.send(request_bytes(method, path, body or b"", names))
            return await connection.answer()

    return send


async def test_perf_analyzer_over_http_finds_everything_it_reads(ask: Ask) -> None:
    metadata = (await ask("/v2/models/versions")).json()
    config = (await ask("/v2/models/versions/config")).json()
    server = (await ask("/v2")).json()

    assert "statistics" in server["extensions"]
    assert type(config["max_batch_size"]) is int
    assert {entry["name"] for entry in config["input"]} == {entry["name"] for entry in metadata["inputs"]}
    assert {entry["name"] for entry in config["output"]} == {entry["name"] for entry in metadata["outputs"]}
    assert all(type(dim) is int for entry in metadata["inputs"] for dim in entry["shape"])
    assert all(type(entry["is_shape_tensor"]) is bool for entry in (*config["input"], *config["output"]))
    assert all(type(entry["optional"]) is bool for entry in config["input"])
    assert "sequence_batching" not in config
    assert "dynamic_batching" not in config  # it does not batch
    for parent, child in (("model_transaction_policy", "decoupled"), ("response_cache", "enable")):
        assert parent not in config or type(config[parent][child]) is bool


def as_perf_analyzer_sends(number: int) -> tuple[bytes, int]:
    """Its request, and the length of the JSON: it always has an id, and names every output as bytes."""
    head = {
        "id": str(number),
        "inputs": [
            {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
        ],
        "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in ("y", "version")],
    }
    written = json.dumps(head).encode()
    return written + ROW.tobytes(), len(written)


async def test_perf_analyzer_over_http_measures_the_version_that_answers(ask: Ask) -> None:
    before = await http_statistics(ask)
    for number in range(4):
        body, length = as_perf_analyzer_sends(number)
        answer = await ask(
            "/v2/models/versions/infer",
            body,
            **{LENGTH.replace("-", "_"): str(length), "content_type": "application/octet-stream"},
        )
        head = json.loads(answer.body[: int(answer.headers[LENGTH.lower()])])
        assert answer.status == 200
        assert head["id"] == str(number)
        # It takes an output with parameters for one with bytes behind the JSON.
        assert [list(output["parameters"]) for output in head["outputs"]] == [["binary_data_size"]] * 2
    after = await http_statistics(ask)

    risen = {version for version in after if queued(after[version]) - queued(before[version]) == 4}
    assert risen == {"2"}


async def http_statistics(ask: Ask) -> dict[str, Any]:
    """By version. It reads every duration without looking whether it is there, as unsigned integers."""
    entries = (await ask("/v2/models/versions/stats")).json()["model_stats"]
    for entry in entries:
        assert all(entry["inference_stats"][name]["count"] >= 0 for name in DURATIONS)
        assert all(type(entry["inference_stats"][name]["ns"]) is int for name in DURATIONS)
        assert entry["version"].isdigit()
    return {entry["version"]: entry for entry in entries}


def queued(entry: Any) -> int:
    count: int = entry["inference_stats"]["queue"]["count"]
    return count


async def test_perf_analyzer_over_grpc_marks_every_request_and_indexes_every_output(
    server: RunningServer,
) -> None:
    request = service_pb2.ModelInferRequest(model_name="versions", id="1", raw_input_contents=[ROW.tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    async with grpc.aio.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answer = await stub.ModelInfer(request)
        statistics = await stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name="versions"))
    assert len(answer.raw_output_contents) == len(answer.outputs) == 2
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [3, 4, 5, 6]
    assert {entry.version for entry in statistics.model_stats} == {"1", "2"}
    assert all(entry.inference_stats.HasField(name) for entry in statistics.model_stats for name in DURATIONS)
