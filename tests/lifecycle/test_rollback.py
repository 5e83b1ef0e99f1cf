"""Going back to what served before, from the server's own copies."""

import asyncio
import contextlib
import json
import os
import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onnxd.errors import LoadFailed, ModelNotFound, PermissionDenied
from onnxd.protocol.load_parameters import LoadOverride
from onnxd.repository.catalog import ModelState
from tests.support.graphs import identity, row_constant
from tests.support.one_model import (
    BATCHED,
    answer,
    reasons,
    replaced,
    rollback,
    scanned_again,
    until_answer,
    until_served,
)
from tests.support.server import RunningServer, publish, running_server
from tests.support.spies import count_trials
from tests.support.until import until


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


def copies(tmp_path: Path) -> int:
    return len(list((tmp_path / "state" / "snapshots").iterdir()))


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


async def test_whatever_is_asked_at_once_it_serves_in_the_end_and_keeps_no_copy_too_many(
    server: RunningServer, tmp_path: Path
) -> None:
    """Files that change, good ones and bad, under loads, unloads and rollbacks by several callers."""
    chance = random.Random(4)
    lifecycle = server.server.lifecycle

    async def caller() -> None:
        for _ in range(25):
            ask = chance.choice([lifecycle.load, lifecycle.unload, lifecycle.rollback, lifecycle.rollback])
            with contextlib.suppress(LoadFailed):
                await ask("one")

    async def publisher() -> None:
        for number in range(2, 12):
            graph = b"broken" if number % 4 == 0 else row_constant(number)
            publish(server.repository, "one", 1, graph)
            await scanned_again(server)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publisher())
        for _ in range(4):
            tasks.create_task(caller())
    publish(server.repository, "one", 1, row_constant(99))
    await until_served(server, 99)
    store = lifecycle._loader.store

    def named() -> set[str]:
        histories = [store.history(name) for name in store.remembered()]
        return {digest for history in histories if history is not None for digest in history.digests}

    # Both together: what is served is remembered only after it serves.
    await until(lambda: set(os.listdir(tmp_path / "state" / "snapshots")) == named())
    serving = server.server.inference.serving(None, None)
    held = {served.identity.partition(":")[2]: 1 for served in serving}
    await until(lambda: store._pins == held)  # once what served before is let go
