"""Everything besides inference: by bare calls, and by tritonclient."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc
import tritonclient.grpc.aio
from tritonclient.utils import InferenceServerException

from onnxd_protos import grpc_service_pb2 as pb
from onnxd_protos import model_config_pb2 as config_pb
from onnxd_protos.services import GRPC_INFERENCE_SERVICE, SERVICES
from tests.support import graphs
from tests.support.grpc_server import ONES, GrpcCalls, GrpcServer, grpc_calls
from tests.support.server import RunningServer, publish, running_server

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def triton(whole: RunningServer) -> AsyncIterator[Any]:
    async with tritonclient.grpc.aio.InferenceServerClient(whole.grpc) as client:
        yield client


async def test_the_server_is_live_and_ready(calls: GrpcCalls, triton: Any) -> None:
    assert (await calls.ask("ServerLive", pb.ServerLiveRequest())).live
    assert (await calls.ask("ServerReady", pb.ServerReadyRequest())).ready
    assert await triton.is_server_live()
    assert await triton.is_server_ready()


@pytest.mark.parametrize(
    ("model", "version", "ready"),
    [
        pytest.param("identity", "", True, id="no version named"),
        pytest.param("identity", "1", True, id="a version that serves"),
        pytest.param("identity", "9", False, id="an unknown version"),
        pytest.param("versions", "7", False, id="a version that did not load"),
        pytest.param("broken", "", False, id="a model that did not load"),
        pytest.param("nobody", "", False, id="an unknown model"),
    ],
)
async def test_model_ready_is_an_answer_for_whatever_could_be_a_model(
    calls: GrpcCalls, triton: Any, model: str, version: str, ready: bool
) -> None:
    assert (await calls.ask("ModelReady", pb.ModelReadyRequest(name=model, version=version))).ready is ready
    assert await triton.is_model_ready(model, version) is ready


async def test_server_metadata(calls: GrpcCalls, triton: Any) -> None:
    for answer in (
        await calls.ask("ServerMetadata", pb.ServerMetadataRequest()),
        await triton.get_server_metadata(),
    ):
        assert answer.name == "onnxd"
        assert answer.version
        assert {"statistics", "classification", "model_repository"} <= set(answer.extensions)
        assert not {"system_shared_memory", "sequence"} & set(answer.extensions)


async def test_model_metadata(calls: GrpcCalls, triton: Any) -> None:
    for answer in (
        await calls.ask("ModelMetadata", pb.ModelMetadataRequest(name="pair")),
        await triton.get_model_metadata("pair"),
    ):
        assert (answer.name, list(answer.versions), answer.platform) == ("pair", ["1"], "onnxruntime_onnx")
        inputs = [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in answer.inputs]
        outputs = [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in answer.outputs]
        assert inputs == [("a", "FP32", [-1, 4]), ("b", "FP32", [-1, 4])]
        assert outputs == [("sum", "FP32", [-1, 4]), ("difference", "FP32", [-1, 4])]


@pytest.mark.parametrize(("asked", "versions"), [("", ["1", "3"]), ("3", ["3"])], ids=["all", "one"])
async def test_metadata_lists_the_versions_that_serve(
    calls: GrpcCalls, asked: str, versions: list[str]
) -> None:
    answer = await calls.ask("ModelMetadata", pb.ModelMetadataRequest(name="versions", version=asked))
    assert list(answer.versions) == versions


async def test_model_config(calls: GrpcCalls, triton: Any) -> None:
    for answer in (
        await calls.ask("ModelConfig", pb.ModelConfigRequest(name="pair")),
        await triton.get_model_config("pair"),
    ):
        config = answer.config
        assert (config.name, config.platform, config.backend) == ("pair", "onnxruntime_onnx", "onnxruntime")
        assert config.max_batch_size == 8
        assert config.HasField("dynamic_batching")
        assert not config.HasField("sequence_batching")
        assert [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in config.input] == [
            ("a", config_pb.TYPE_FP32, [4]),
            ("b", config_pb.TYPE_FP32, [4]),
        ]


async def test_the_config_of_a_model_that_does_not_batch(calls: GrpcCalls) -> None:
    config = (await calls.ask("ModelConfig", pb.ModelConfigRequest(name="optional"))).config
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert {tensor.name: tensor.optional for tensor in config.input} == {"x": False, "bias": True}


DURATIONS = (
    "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss",
)  # fmt: skip


async def test_statistics_count_what_perf_analyzer_reads(calls: GrpcCalls, triton: Any) -> None:
    async def read() -> list[Any]:
        raw = await calls.ask("ModelStatistics", pb.ModelStatisticsRequest(name="mean", version="1"))
        return [raw, await triton.get_inference_statistics("mean", "1")]

    before = await read()
    for _ in range(3):
        await calls.infer("mean", {"x": np.ones((2, 4), np.float32)})
    for earlier, later in zip(before, await read(), strict=True):
        [old], [new] = earlier.model_stats, later.model_stats
        assert (new.name, new.version) == ("mean", "1")
        assert new.inference_count - old.inference_count == 6
        assert new.execution_count - old.execution_count == 3
        assert new.last_inference > 1_500_000_000_000  # milliseconds of the epoch
        for name in DURATIONS:
            assert new.inference_stats.HasField(name)
        for name in DURATIONS[:1] + DURATIONS[2:6]:
            was, now = getattr(old.inference_stats, name), getattr(new.inference_stats, name)
            assert now.count - was.count == 3, name
            assert now.ns >= was.ns
        assert {batch.batch_size for batch in new.batch_stats} == {2}


async def test_statistics_cover_every_model_when_none_is_named(calls: GrpcCalls) -> None:
    answer = await calls.ask("ModelStatistics", pb.ModelStatisticsRequest())
    served = {(entry.name, entry.version) for entry in answer.model_stats}
    assert {("identity", "1"), ("versions", "1"), ("versions", "3")} <= served
    assert "broken" not in {name for name, _ in served}


async def test_the_index_lists_what_is_there_and_why_it_does_not_serve(calls: GrpcCalls, triton: Any) -> None:
    for answer in (
        await calls.ask("RepositoryIndex", pb.RepositoryIndexRequest()),
        await triton.get_model_repository_index(),
    ):
        states = {(entry.name, entry.version): entry.state for entry in answer.models}
        assert states["identity", "1"] == "READY"
        assert states["versions", "3"] == "READY"
        assert states["versions", "7"] == states["broken", "1"] == "UNAVAILABLE"
        reasons = {(entry.name, entry.version): entry.reason for entry in answer.models}
        assert reasons["broken", "1"]
        assert "/" not in reasons["broken", "1"]
    ready = await calls.ask("RepositoryIndex", pb.RepositoryIndexRequest(ready=True))
    assert {entry.state for entry in ready.models} == {"READY"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("control")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def explicit(repository: Path) -> AsyncIterator[RunningServer]:
    """A server that loads only what it is told to."""
    publish(repository / "models", "one", 1, graphs.row_constant(1))
    publish(repository / "models", "bad", 1, b"no model at all")
    state = repository / "state"
    async with running_server(repository / "models", state, model_control="explicit") as running:
        yield running


async def test_load_and_unload_by_tritonclient(explicit: RunningServer) -> None:
    async with tritonclient.grpc.aio.InferenceServerClient(explicit.grpc) as client:
        assert not await client.is_model_ready("one")
        await client.load_model("one")
        assert await client.is_model_ready("one")
        await client.unload_model("one")
        assert not await client.is_model_ready("one")
        await client.unload_model("one", unload_dependents=True)
        with pytest.raises(InferenceServerException, match="PERMISSION_DENIED"):
            await client.load_model("one", config="{}")


async def test_load_and_unload_as_kserve_numbers_the_name(explicit: RunningServer) -> None:
    async with grpc_calls(explicit.grpc) as calls:
        # Its client has `model_name` at 1, where Triton's messages have `repository_name`.
        await calls.ask("RepositoryModelLoad", pb.RepositoryModelLoadRequest(repository_name="one"))
        assert (await calls.ask("ModelReady", pb.ModelReadyRequest(name="one"))).ready
        await calls.ask("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(repository_name="one"))
        assert not (await calls.ask("ModelReady", pb.ModelReadyRequest(name="one"))).ready


Load = pb.RepositoryModelLoadRequest
Unload = pb.RepositoryModelUnloadRequest


@pytest.mark.parametrize(
    ("method", "request_", "code", "phrase"),
    [
        pytest.param(
            "Load", Load(model_name="bad"), "INVALID_ARGUMENT", "not an ONNX model", id="a broken model"
        ),
        pytest.param("Load", Load(model_name="nobody"), "NOT_FOUND", "nobody", id="an unknown model"),
        pytest.param("Load", Load(), "INVALID_ARGUMENT", "model name", id="no name"),
        pytest.param("Load", Load(model_name="../one"), "INVALID_ARGUMENT", "'../one'", id="a path"),
        pytest.param(
            "Unload", Unload(model_name="../one"), "INVALID_ARGUMENT", "'../one'", id="unload a path"
        ),
        pytest.param(
            "Load",
            Load(model_name="one", repository_name="r"),
            "UNIMPLEMENTED",
            "repository_name",
            id="two names",
        ),
        pytest.param(
            "Unload",
            Unload(model_name="one", parameters={"force": pb.ModelRepositoryParameter(bool_param=True)}),
            "INVALID_ARGUMENT",
            "'force'",
            id="an unknown unload parameter",
        ),
        pytest.param(
            "Load",
            Load(model_name="one", parameters={"config": pb.ModelRepositoryParameter(string_param="{}")}),
            "PERMISSION_DENIED",
            "'config'",
            id="a config override",
        ),
        pytest.param(
            "Load",
            Load(
                model_name="one",
                parameters={"file:1/model.onnx": pb.ModelRepositoryParameter(bytes_param=b"")},
            ),
            "PERMISSION_DENIED",
            "'file:1/model.onnx'",
            id="a file override",
        ),
        pytest.param(
            "Load",
            Load(model_name="one", parameters={"zeal": pb.ModelRepositoryParameter(int64_param=9)}),
            "INVALID_ARGUMENT",
            "'zeal'",
            id="an unknown load parameter",
        ),
        pytest.param(
            "Unload",
            Unload(
                model_name="one",
                parameters={"unload_dependents": pb.ModelRepositoryParameter(string_param="yes")},
            ),
            "INVALID_ARGUMENT",
            "'unload_dependents'",
            id="unload_dependents that is text",
        ),
    ],
)
async def test_a_refused_load_or_unload_says_why(
    explicit: RunningServer, method: str, request_: Any, code: str, phrase: str
) -> None:
    async with grpc_calls(explicit.grpc) as calls:
        refused = await calls.refusal(f"RepositoryModel{method}", request_)
    assert refused.code.name == code
    assert phrase in refused.details
    assert "/state/" not in refused.details
    assert "/models/" not in refused.details


async def test_unloading_what_is_not_there_is_no_error(explicit: RunningServer) -> None:
    async with grpc_calls(explicit.grpc) as calls:
        await calls.ask("RepositoryModelUnload", Unload(model_name="nobody"))


async def test_control_can_be_switched_off(tmp_path: Path) -> None:
    publish(tmp_path / "models", "identity", 1, graphs.identity(), "max_batch_size: 8\n")
    async with (
        running_server(tmp_path / "models", tmp_path / "state", model_control="none") as running,
        grpc_calls(running.grpc) as calls,
    ):
        for method, request in (("Load", Load), ("Unload", Unload)):
            refused = await calls.refusal(f"RepositoryModel{method}", request(model_name="identity"))
            assert refused.code is grpc.StatusCode.UNAVAILABLE
        await calls.assert_well()


async def test_no_method_of_the_service_is_left_unserved(calls: GrpcCalls) -> None:
    unserved = []
    for name, method in SERVICES[GRPC_INFERENCE_SERVICE].items():
        if not method.server_streaming:
            try:
                await calls.ask(name, method.request())
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    unserved.append(name)
    assert unserved == []


async def test_the_blocking_client_works_too(whole: RunningServer) -> None:
    def talk() -> Any:
        with tritonclient.grpc.InferenceServerClient(whole.grpc) as client:
            assert client.is_server_ready()
            tensor = tritonclient.grpc.InferInput("x", [1, 4], "FP32")
            tensor.set_data_from_numpy(ONES)
            return client.infer("identity", [tensor], request_id="7").as_numpy("y")

    assert (await asyncio.to_thread(talk)).tobytes() == ONES.tobytes()


@pytest.mark.asyncio(loop_scope="function")
async def test_an_unready_server_says_so(server: GrpcServer) -> None:
    server.stand.inference.begin_drain()
    assert not (await server.calls.ask("ServerReady", pb.ServerReadyRequest())).ready
    assert (await server.calls.ask("ServerLive", pb.ServerLiveRequest())).live
