"""What clients ask about the server and its models, and tell it: one table of cases, through every client."""

import numpy as np
import pytest

from onnxd.tensors import Datatype
from tests.contract.stand import ROW
from tests.contract.wire_client import DURATIONS, Kind, Refused, Request, TensorInfo, WireClient

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS = (
    "digits",
    "broken",
    "rows",
    "free",
    "optional",
    "versions",
    "comes_and_goes",
    "every_cube",
    "bf16_scalar",
    "text",
)


# What serves.


async def test_the_server_is_live_and_ready(client: WireClient) -> None:
    assert await client.live()
    assert await client.ready()


async def test_the_server_says_who_it_is_and_what_it_can(client: WireClient) -> None:
    server = await client.server()
    assert server.name == "onnxd"
    assert server.version
    assert {"binary_tensor_data", "classification", "model_repository", "statistics"} <= server.extensions


@pytest.mark.parametrize(
    ("model", "version", "expected"),
    [
        pytest.param("digits", "", True, id="a-model-that-serves"),
        pytest.param("digits", "2", True, id="a-version-that-serves"),
        pytest.param("digits", "9", False, id="a-version-that-is-not-there"),
        pytest.param("nothing", "", False, id="a-model-that-is-not-there"),
        pytest.param("broken", "", False, id="a-model-that-did-not-load"),
    ],
)
async def test_a_model_is_ready_when_it_serves(
    client: WireClient, model: str, version: str, expected: bool
) -> None:
    assert await client.model_ready(model, version) is expected


async def test_metadata_shows_the_batch_as_a_free_dimension(client: WireClient) -> None:
    metadata = await client.metadata("digits")
    assert (metadata.name, metadata.versions) == ("digits", ("1", "2"))
    assert metadata.platform
    assert metadata.inputs == (TensorInfo("pixels", "FP32", (-1, 64)),)
    assert metadata.outputs == (TensorInfo("scores", "FP32", (-1, 10)),)


async def test_metadata_of_a_version_names_that_version_alone(client: WireClient) -> None:
    assert (await client.metadata("digits", "1")).versions == ("1",)


async def test_metadata_names_every_datatype_as_the_protocol_does(client: WireClient) -> None:
    metadata = await client.metadata("every_cube")
    found = {tensor.datatype for tensor in metadata.inputs}
    assert found == {datatype.value for datatype in Datatype} - {"BF16"}
    assert {tensor.shape for tensor in metadata.inputs} == {(-1, -1, -1)}
    assert (await client.metadata("bf16_scalar")).inputs == (TensorInfo("x", "BF16", ()),)


async def test_the_config_says_whether_a_model_batches(client: WireClient) -> None:
    batching = await client.config("rows")
    alone = await client.config("free", "1")
    assert (batching.name, batching.max_batch_size, batching.batches) == ("rows", 8, True)
    assert (alone.name, alone.max_batch_size, alone.batches) == ("free", 0, False)
    assert batching.platform == (await client.metadata("rows")).platform


async def test_every_input_of_the_config_is_in_the_metadata(client: WireClient) -> None:
    config = await client.config("optional")
    assert config.inputs == {"x": ("TYPE_FP32", (-1, 4), False), "bias": ("TYPE_FP32", (1,), True)}
    assert {tensor.name for tensor in (await client.metadata("optional")).inputs} == set(config.inputs)


async def test_the_index_lists_every_version_with_its_state(client: WireClient) -> None:
    index = {(entry.name, entry.version): entry.state for entry in await client.index()}
    assert index["digits", "1"] == index["digits", "2"] == index["versions", "1"] == "READY"
    assert index["broken", "1"] == "UNAVAILABLE"


async def test_an_unloaded_model_answers_again_after_it_was_loaded(client: WireClient) -> None:
    await client.unload("comes_and_goes")
    assert not await client.model_ready("comes_and_goes")
    with pytest.raises(Refused) as refused:
        await client.infer("comes_and_goes", Request({"x": ROW}))
    assert refused.value.kind is Kind.UNAVAILABLE

    await client.load("comes_and_goes")
    assert await client.model_ready("comes_and_goes")
    reply = await client.infer("comes_and_goes", Request({"x": ROW}))
    np.testing.assert_array_equal(reply.outputs["y"], ROW + 1)


async def test_unloading_what_is_not_there_is_no_error(client: WireClient) -> None:
    await client.unload("nothing")


# What perf_analyzer measures by.


async def test_each_request_is_counted_under_its_version(client: WireClient) -> None:
    before = {entry.version: entry for entry in await client.statistics("versions")}
    for _ in range(3):
        await client.infer("versions", Request({"x": ROW}, version="1"))
    await client.infer("versions", Request({"x": ROW}, version="2"))
    after = {entry.version: entry for entry in await client.statistics("versions")}

    assert after.keys() == before.keys() == {"1", "2"}
    for version, requests in (("1", 3), ("2", 1)):
        old, new = before[version], after[version]
        assert new.inference_count - old.inference_count == requests
        assert 1 <= new.execution_count - old.execution_count <= requests
        for name in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
            assert new.counts[name] - old.counts[name] == requests, name
            assert new.times_ns[name] >= old.times_ns[name], name
        assert (new.counts["cache_hit"], new.counts["cache_miss"]) == (0, 0)


async def test_statistics_have_every_duration_for_every_model(client: WireClient) -> None:
    everything = await client.statistics()
    assert {"digits", "rows", "text"} <= {entry.name for entry in everything}
    assert all(set(entry.counts) == set(DURATIONS) for entry in everything)
    [one] = await client.statistics("digits", "2")
    assert (one.name, one.version) == ("digits", "2")


# Refusals.


@pytest.mark.parametrize("method", ["metadata", "config", "statistics"])
async def test_an_unknown_model_is_not_found_by_any_question(client: WireClient, method: str) -> None:
    with pytest.raises(Refused) as refused:
        await getattr(client, method)("nothing")
    assert refused.value.kind is Kind.NOT_FOUND


async def test_loading_what_is_not_there_is_not_found(client: WireClient) -> None:
    with pytest.raises(Refused) as refused:
        await client.load("nothing")
    assert refused.value.kind is Kind.NOT_FOUND


async def test_loading_what_is_broken_says_why(client: WireClient) -> None:
    with pytest.raises(Refused) as refused:
        await client.load("broken")
    assert refused.value.kind is Kind.INVALID
    assert "not an ONNX model" in refused.value.message
