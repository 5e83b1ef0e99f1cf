"""What serves follows what lies on disk."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from onnxd.errors import (
    ControlDisabled,
    LoadFailed,
    ModelNotFound,
    ModelUnavailable,
    PermissionDenied,
    ServerError,
)
from onnxd.messages import InferRequest
from onnxd.repository.catalog import ModelState
from tests.support.graphs import add_one, deadly, identity, row_constant, slow, two_inputs
from tests.support.server import RunningServer, publish, running_server
from tests.support.until import until

BATCHED = "max_batch_size: 8\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "models"
    publish(directory, "one", 1, row_constant(1), BATCHED)
    return directory


@pytest.fixture
async def server(repository: Path, tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(repository, tmp_path / "state") as running:
        yield running


async def answer(server: RunningServer, model: str, version: int | None = None) -> int:
    request = InferRequest(model, {"x": np.zeros((1, 4), np.float32)}, model_version=version)
    response = await server.server.inference.infer(request)
    return int(response.outputs["y"].flat[0])


async def until_answer(server: RunningServer, model: str, expected: int) -> None:
    async def answers() -> bool:
        return await answer(server, model) == expected

    await until(answers)


async def states(server: RunningServer, model: str) -> dict[int | None, ModelState | None]:
    return {
        entry.version: entry.state for entry in await server.server.lifecycle.index() if entry.name == model
    }


async def test_a_model_dropped_into_the_repository_answers(server: RunningServer) -> None:
    publish(server.repository, "two", 1, row_constant(2), BATCHED)
    await server.ready("two")
    assert await answer(server, "two") == 2


async def test_a_bare_file_is_version_1_and_is_batched_as_its_rows_are_independent(
    server: RunningServer,
) -> None:
    publish(server.repository, "bare", 1, row_constant(3))
    shutil.move(server.repository / "bare" / "1" / "model.onnx", server.repository / "bare" / "model.onnx")
    (server.repository / "bare" / "1").rmdir()
    await server.ready("bare", 1)
    assert await answer(server, "bare") == 3
    assert server.server.inference.spec("bare", None).max_batch_size == 32


async def test_a_higher_version_takes_over_and_the_old_one_goes(server: RunningServer) -> None:
    publish(server.repository, "one", 2, row_constant(20))
    await until_answer(server, "one", 20)
    with pytest.raises(ModelUnavailable, match=r"not chosen by 'versions: \{latest: 1\}'"):
        await answer(server, "one", 1)


async def test_removing_the_higher_version_brings_the_lower_one_back(server: RunningServer) -> None:
    publish(server.repository, "one", 2, row_constant(20))
    await until_answer(server, "one", 20)
    shutil.rmtree(server.repository / "one" / "2")
    await until_answer(server, "one", 1)


async def test_all_versions_serve_side_by_side_when_the_config_says_so(server: RunningServer) -> None:
    publish(server.repository, "one", 2, row_constant(20), BATCHED + "versions: all\n")
    await server.ready("one", 2)
    await server.ready("one", 1)
    assert [await answer(server, "one", version) for version in (1, 2, None)] == [1, 20, 20]


async def test_new_bytes_under_the_same_version_are_a_reload(server: RunningServer) -> None:
    publish(server.repository, "one", 1, row_constant(7))
    await until_answer(server, "one", 7)


async def test_copying_the_same_bytes_again_is_no_reload(server: RunningServer) -> None:
    before = server.server.inference.served("one", 1)
    publish(server.repository, "one", 1, row_constant(1), BATCHED)
    publish(server.repository, "marker", 1, row_constant(9), BATCHED)
    await server.ready("marker")
    await server.server.lifecycle.load("one")
    assert server.server.inference.served("one", 1) is before


async def test_a_changed_config_is_a_reload(server: RunningServer) -> None:
    publish(server.repository, "one", 1, row_constant(1), "max_batch_size: 4\n")
    await until(lambda: server.server.inference.spec("one", None).max_batch_size == 4)


async def test_a_removed_model_is_let_go(server: RunningServer) -> None:
    publish(server.repository, "two", 1, row_constant(2), BATCHED)
    await server.ready("two")
    shutil.rmtree(server.repository / "two")
    await server.gone("two")
    with pytest.raises(ModelNotFound, match="unknown model 'two'"):
        await answer(server, "two")


@pytest.mark.parametrize(
    ("graph", "phrase"),
    [
        (b"", "is empty"),
        (b"not a model", "model.onnx"),
        (row_constant(2)[:-20], "model.onnx"),
        (deadly(), "SIGFPE"),
    ],
    ids=["an empty file", "a text", "half of a file", "a graph that kills the process that runs it"],
)
async def test_a_broken_new_version_leaves_the_old_one_serving_and_the_index_says_why(
    server: RunningServer, graph: bytes, phrase: str
) -> None:
    publish(server.repository, "one", 2, graph)
    assert phrase in await server.reason("one", 2)
    assert await answer(server, "one") == 1
    assert await states(server, "one") == {1: ModelState.READY, 2: ModelState.UNAVAILABLE}


async def test_broken_bytes_under_a_serving_version_leave_the_old_ones_serving(server: RunningServer) -> None:
    publish(server.repository, "one", 1, b"broken")
    assert "its newer files do not load, the old ones serve" in await server.reason("one", 1)
    assert await answer(server, "one") == 1


async def test_a_config_fault_leaves_what_serves_and_names_its_place(
    server: RunningServer,
) -> None:
    publish(server.repository, "one", 1, row_constant(1), "max_batch_size: 8\nmax_batch_sise: 9\n")
    reason = await server.reason("one", 1)
    assert "config.yaml:2:1" in reason
    assert "did you mean max_batch_size" in reason
    assert await answer(server, "one") == 1


async def test_a_model_whose_first_load_fails_is_listed_with_its_reason(server: RunningServer) -> None:
    publish(server.repository, "broken", 1, b"broken")
    await server.reason("broken", 1)
    with pytest.raises(ModelUnavailable, match="no version that serves"):
        await answer(server, "broken")


async def test_mending_a_broken_model_makes_it_serve(server: RunningServer) -> None:
    publish(server.repository, "broken", 1, b"broken")
    await server.reason("broken", 1)
    publish(server.repository, "broken", 1, row_constant(5), BATCHED)
    await server.ready("broken")
    assert await answer(server, "broken") == 5
    assert await states(server, "broken") == {1: ModelState.READY}


async def test_the_server_starts_beside_a_broken_model(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    publish(repository, "broken", 1, b"broken")
    publish(repository, "good", 1, row_constant(1), BATCHED)
    async with running_server(repository, tmp_path / "state") as server:
        assert server.server.inference.ready
        assert await answer(server, "good") == 1
        assert await states(server, "broken") == {1: ModelState.UNAVAILABLE}


async def test_an_unload_holds_until_the_files_change(server: RunningServer) -> None:
    await server.server.lifecycle.unload("one")
    publish(server.repository, "marker", 1, row_constant(9), BATCHED)
    await server.ready("marker")
    with pytest.raises(ModelUnavailable, match="unloaded"):
        await answer(server, "one")
    publish(server.repository, "one", 1, row_constant(7))
    await server.ready("one")
    assert await answer(server, "one") == 7


async def test_a_load_ends_an_unload(server: RunningServer) -> None:
    await server.server.lifecycle.unload("one")
    await server.server.lifecycle.load("one")
    assert await answer(server, "one") == 1


async def test_a_load_that_fails_says_why_to_whoever_asked(server: RunningServer) -> None:
    publish(server.repository, "broken", 1, b"broken")
    await server.reason("broken", 1)
    with pytest.raises(LoadFailed, match=r"model\.onnx"):
        await server.server.lifecycle.load("broken")


async def test_unloading_an_unknown_model_is_no_error_and_loading_one_is(server: RunningServer) -> None:
    await server.server.lifecycle.unload("nobody")
    with pytest.raises(ModelNotFound, match="no such directory"):
        await server.server.lifecycle.load("nobody")


async def test_a_request_ends_on_the_version_it_began_on(server: RunningServer) -> None:
    publish(server.repository, "slow", 1, slow())
    await server.ready("slow")
    spec = server.server.inference.spec("slow", None)
    inputs = {
        tensor.name: np.full([1 if size < 0 else size for size in tensor.shape], 200, tensor.datatype.dtype)
        for tensor in spec.inputs
    }
    running = asyncio.ensure_future(server.server.inference.infer(InferRequest("slow", inputs)))
    await asyncio.sleep(0)
    await server.server.lifecycle.unload("slow")
    assert (await running).model_version == 1


def input_names(server: RunningServer, model: str) -> list[str]:
    return [tensor.name for tensor in server.server.inference.spec(model, None).inputs]


async def test_a_config_that_comes_before_its_model_waits_for_it(server: RunningServer) -> None:
    """The new config names inputs that the old graph lacks: the old pair serves until both are there."""
    publish(server.repository, "pair", 1, add_one(), BATCHED)
    await server.ready("pair")
    (server.repository / "pair" / "config.yaml").write_text(BATCHED + "inputs: [{name: a}, {name: b}]\n")
    await server.reason("pair", 1)
    assert input_names(server, "pair") == ["x"]
    publish(server.repository, "pair", 1, two_inputs())
    await until(lambda: input_names(server, "pair") == ["a", "b"])


async def test_an_emptied_repository_keeps_serving(server: RunningServer) -> None:
    publish(server.repository, "two", 1, identity())
    await server.ready("two")
    server.repository.rename(server.repository.with_name("away"))
    server.repository.mkdir()
    publish(server.repository, "three", 1, row_constant(3), BATCHED)
    await server.ready("three")
    assert await answer(server, "one") == 1


async def test_explicit_control_loads_only_what_it_is_told(repository: Path, tmp_path: Path) -> None:
    publish(repository, "two", 1, row_constant(2), BATCHED)
    changes = {"model_control": "explicit", "load_model": ("two",)}
    async with running_server(repository, tmp_path / "state", **changes) as server:
        assert await states(server, "one") == {None: None}
        assert await answer(server, "two") == 2
        await server.server.lifecycle.load("one")
        assert await answer(server, "one") == 1


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [({"model_control": "none"}, ControlDisabled), ({"model_control_api": False}, PermissionDenied)],
    ids=["control none", "control by API switched off"],
)
async def test_loads_over_the_network_can_be_switched_off(
    repository: Path, tmp_path: Path, changes: dict[str, object], refusal: type[ServerError]
) -> None:
    async with running_server(repository, tmp_path / "state", **changes) as server:
        for control in (server.server.lifecycle.load, server.server.lifecycle.unload):
            with pytest.raises(refusal):
                await control("one")
        assert await answer(server, "one") == 1
