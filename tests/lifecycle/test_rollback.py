"""Going back to what served before, from the server's own copies."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from onnxd.errors import LoadFailed, ModelNotFound, PermissionDenied
from onnxd.messages import InferRequest
from onnxd.protocol.load_parameters import LoadOverride
from onnxd.repository.catalog import ModelState
from tests.support.graphs import identity, row_constant
from tests.support.server import RunningServer, publish, running_server
from tests.support.spies import count_trials
from tests.support.until import until

BATCHED = "max_batch_size: 8\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "models"
    publish(directory, "one", 1, row_constant(1), BATCHED)
    publish(directory, "other", 1, row_constant(100), BATCHED)
    return directory


@pytest.fixture
async def server(repository: Path, tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(repository, tmp_path / "state") as running:
        yield running


async def answer(server: RunningServer, version: int | None = None) -> int:
    request = InferRequest("one", {"x": np.zeros((1, 4), np.float32)}, model_version=version)
    response = await server.server.inference.infer(request)
    return int(response.outputs["y"].flat[0])


async def until_answer(server: RunningServer, expected: int) -> None:
    async def answers() -> bool:
        return await answer(server) == expected

    await until(answers)


async def rollback(server: RunningServer) -> None:
    await server.server.lifecycle.rollback("one")


async def reasons(server: RunningServer) -> dict[int | None, tuple[ModelState | None, str]]:
    return {
        entry.version: (entry.state, entry.reason)
        for entry in await server.server.lifecycle.index()
        if entry.name == "one"
    }


async def scanned_again(server: RunningServer) -> None:
    """What lies in the repository now has been looked at: a model that came after it serves."""
    publish(server.repository, "marker", 1, identity())
    await server.ready("marker")
    shutil.rmtree(server.repository / "marker")
    await server.gone("marker")


def copies(tmp_path: Path) -> int:
    return len(list((tmp_path / "state" / "snapshots").iterdir()))


async def replaced(server: RunningServer) -> None:
    """One has become two under the same version, so that the repository no longer holds one."""
    publish(server.repository, "one", 1, row_constant(2))
    await until_answer(server, 2)


async def test_what_was_overwritten_serves_again_without_its_files(server: RunningServer) -> None:
    await replaced(server)
    await rollback(server)
    assert await answer(server) == 1


async def test_a_version_that_was_removed_serves_again(server: RunningServer) -> None:
    publish(server.repository, "one", 2, row_constant(2))
    await until_answer(server, 2)
    shutil.rmtree(server.repository / "one" / "1")
    await scanned_again(server)
    await rollback(server)
    assert await answer(server, 1) == 1
    assert [entry[0] for entry in (await reasons(server)).values()] == [
        ModelState.READY,
        ModelState.UNAVAILABLE,
    ]


async def test_the_former_config_comes_back_with_the_former_files(server: RunningServer) -> None:
    publish(server.repository, "one", 1, row_constant(2), "max_batch_size: 4\n")
    await until(lambda: server.server.inference.spec("one", None).max_batch_size == 4)
    await rollback(server)
    assert server.server.inference.spec("one", None).max_batch_size == 8


async def test_the_index_says_what_serves_and_what_is_not_loaded_again(server: RunningServer) -> None:
    await replaced(server)
    held = server.server.inference.served("one", 1).identity.partition(":")[2][:12]
    await rollback(server)
    kept = server.server.inference.served("one", 1).identity.partition(":")[2][:12]
    state, reason = (await reasons(server))[1]
    assert state is ModelState.READY
    assert reason == (
        f"rolled back to version 1 ({kept}); the files in the repository hold version 1 ({held}), which is "
        "not loaded again before they change or somebody loads the model"
    )


async def test_what_was_taken_back_is_not_loaded_again_when_it_is_only_written_anew(
    server: RunningServer,
) -> None:
    await replaced(server)
    await rollback(server)
    publish(server.repository, "one", 1, row_constant(2), BATCHED)
    await scanned_again(server)
    assert await answer(server) == 1
    assert "rolled back to version 1" in (await reasons(server))[1][1]


async def test_other_files_end_a_rollback(server: RunningServer) -> None:
    await replaced(server)
    await rollback(server)
    publish(server.repository, "one", 1, row_constant(3))
    await until_answer(server, 3)
    assert (await reasons(server))[1] == (ModelState.READY, "")


async def test_a_load_by_name_ends_a_rollback(server: RunningServer) -> None:
    await replaced(server)
    await rollback(server)
    await server.server.lifecycle.load("one")
    assert await answer(server) == 2


async def test_a_second_rollback_takes_the_first_one_back(server: RunningServer) -> None:
    await replaced(server)
    await rollback(server)
    await rollback(server)
    assert await answer(server) == 2
    assert (await reasons(server))[1] == (ModelState.READY, "")
    await rollback(server)
    assert await answer(server) == 1


async def test_what_served_once_only_has_nothing_to_go_back_to(server: RunningServer) -> None:
    with pytest.raises(LoadFailed, match="failed to roll back 'one': nothing else of it has served"):
        await rollback(server)
    assert await answer(server) == 1
    assert (await reasons(server))[1] == (ModelState.READY, "")


async def test_an_unknown_model_is_unknown(server: RunningServer) -> None:
    with pytest.raises(ModelNotFound, match="failed to roll back 'nobody'"):
        await server.server.lifecycle.rollback("nobody")


async def test_files_that_fail_are_nothing_to_go_back_from_or_to(server: RunningServer) -> None:
    await replaced(server)
    publish(server.repository, "one", 1, b"broken")
    await server.reason("one", 1)
    await rollback(server)
    assert await answer(server) == 1
    await rollback(server)
    assert await answer(server) == 2


async def test_a_model_that_was_unloaded_by_name_serves_again_as_it_did(server: RunningServer) -> None:
    await replaced(server)
    await server.server.lifecycle.unload("one")
    await rollback(server)
    assert await answer(server) == 2


async def test_of_versions_that_came_in_part_the_whole_former_set_comes_back(server: RunningServer) -> None:
    publish(server.repository, "one", 1, row_constant(5), BATCHED + "versions: all\n")
    await until_answer(server, 5)
    publish(server.repository, "one", 3, b"broken")
    publish(server.repository, "one", 2, row_constant(6), BATCHED + "versions: all\ndescription: new\n")
    await server.ready("one", 2)
    await rollback(server)
    assert server.server.inference.versions("one") == (1,)
    assert await answer(server) == 5


async def test_from_files_that_came_with_a_load_it_goes_back_to_the_repositorys(
    repository: Path, tmp_path: Path
) -> None:
    given = LoadOverride(json.dumps({"max_batch_size": 8}), {"7/model.onnx": row_constant(7)})
    async with running_server(repository, tmp_path / "state", model_overrides=True) as server:
        await server.server.lifecycle.load("one", given)
        assert await answer(server) == 7
        await rollback(server)
        assert await answer(server) == 1
        publish(server.repository, "one", 1, row_constant(2))
        await until_answer(server, 2)


async def test_nothing_is_tried_again_that_has_served(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = count_trials(monkeypatch)
    await replaced(server)
    assert len(trials) == 2  # it is described, and then it is run
    await rollback(server)
    await rollback(server)
    assert len(trials) == 2


async def test_a_rolled_back_model_is_so_after_a_restart(repository: Path, tmp_path: Path) -> None:
    async with running_server(repository, tmp_path / "state") as server:
        await replaced(server)
        await rollback(server)
    async with running_server(repository, tmp_path / "state") as server:
        assert await answer(server) == 1
        assert "rolled back to version 1" in (await reasons(server))[1][1]
        await rollback(server)
        assert await answer(server) == 2
    async with running_server(repository, tmp_path / "state") as server:
        assert await answer(server) == 2


async def test_there_is_something_to_go_back_to_after_a_restart(repository: Path, tmp_path: Path) -> None:
    async with running_server(repository, tmp_path / "state") as server:
        await replaced(server)
    async with running_server(repository, tmp_path / "state") as server:
        assert await answer(server) == 2
        await rollback(server)
        assert await answer(server) == 1


async def test_what_served_serves_after_a_restart_though_the_files_have_been_broken_meanwhile(
    repository: Path, tmp_path: Path
) -> None:
    async with running_server(repository, tmp_path / "state") as server:
        assert await answer(server) == 1
    publish(repository, "one", 1, b"broken")
    async with running_server(repository, tmp_path / "state") as server:
        assert await answer(server) == 1
        state, reason = (await reasons(server))[1]
        assert state is ModelState.READY
        assert reason.startswith("its files do not load, version 1 (")
        publish(repository, "one", 1, row_constant(3))
        await until_answer(server, 3)


async def test_a_kept_copy_that_was_damaged_is_refused_and_what_serves_goes_on(
    repository: Path, tmp_path: Path
) -> None:
    async with running_server(repository, tmp_path / "state") as server:
        await replaced(server)
        former = server.server.lifecycle._loader.store.history("one")
        assert former is not None
        assert former.previous is not None
    graph = tmp_path / "state" / "snapshots" / former.previous.versions[1] / "model.onnx"
    graph.chmod(0o600)
    graph.write_bytes(b"damaged")
    async with running_server(repository, tmp_path / "state") as server:
        with pytest.raises(LoadFailed, match="the copy that was kept is gone or damaged"):
            await rollback(server)
        assert await answer(server) == 2
        assert (await reasons(server))[1] == (ModelState.READY, "")


async def test_no_more_than_two_sets_of_a_model_are_kept(server: RunningServer, tmp_path: Path) -> None:
    before = copies(tmp_path)
    for number in range(2, 7):
        publish(server.repository, "one", 1, row_constant(number))
        await until_answer(server, number)
    await until(lambda: copies(tmp_path) == before + 1)


async def test_of_a_model_that_is_removed_nothing_is_kept(server: RunningServer, tmp_path: Path) -> None:
    await replaced(server)
    shutil.rmtree(server.repository / "one")
    await server.gone("one")
    await until(lambda: not (tmp_path / "state" / "history" / "one.json").exists())
    await scanned_again(server)
    with pytest.raises(ModelNotFound):
        await rollback(server)
    shutil.rmtree(server.repository / "other")
    publish(server.repository, "last", 1, identity())
    await server.ready("last")
    await server.gone("other")
    await until(lambda: copies(tmp_path) == 2)


async def test_of_a_model_that_was_removed_while_the_server_was_down_nothing_is_kept(
    repository: Path, tmp_path: Path
) -> None:
    async with running_server(repository, tmp_path / "state"):
        pass
    shutil.rmtree(repository / "one")
    async with running_server(repository, tmp_path / "state"):
        await until(lambda: not (tmp_path / "state" / "history" / "one.json").exists())


async def test_while_the_repository_is_away_its_models_can_be_taken_back(
    repository: Path, tmp_path: Path
) -> None:
    """At the start nobody knows what is in it, so nothing is concluded from it, then or later."""
    async with running_server(repository, tmp_path / "state"):
        pass
    os.rename(repository, tmp_path / "away")
    async with running_server(repository, tmp_path / "state") as server:
        await rollback(server)
        assert await answer(server) == 1
        os.rename(tmp_path / "away", repository)
        await server.ready("other")
        assert await answer(server) == 1


async def test_explicit_control_can_roll_back_what_was_not_loaded_yet(
    repository: Path, tmp_path: Path
) -> None:
    async with running_server(repository, tmp_path / "state") as server:
        await replaced(server)
    async with running_server(repository, tmp_path / "state", model_control="explicit") as server:
        await rollback(server)
        assert await answer(server) == 2
        await rollback(server)
        assert await answer(server) == 1


async def test_rolling_back_over_the_network_can_be_switched_off(repository: Path, tmp_path: Path) -> None:
    async with running_server(repository, tmp_path / "state", model_control_api=False) as server:
        with pytest.raises(PermissionDenied):
            await rollback(server)


async def test_no_request_fails_while_a_model_goes_back_and_forth(server: RunningServer) -> None:
    await replaced(server)
    over = asyncio.Event()
    answers: set[int] = set()

    async def ask() -> None:
        while not over.is_set():
            answers.add(await answer(server))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(ask())
        for _ in range(20):
            await rollback(server)
        over.set()
    assert answers == {1, 2}
