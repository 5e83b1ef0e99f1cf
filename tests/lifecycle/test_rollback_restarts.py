"""Going back to what served before the server was started."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from onnxd.errors import LoadFailed
from onnxd.repository.catalog import ModelState
from onnxd_client import AsyncClient
from tests.support.files import put
from tests.support.graphs import row_constant
from tests.support.one_model import BATCHED, answer, reasons, replaced, rollback, until_answer
from tests.support.server import publish, running_server, server_process
from tests.support.until import until


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "models"
    publish(directory, "one", 1, row_constant(1), BATCHED)
    publish(directory, "other", 1, row_constant(100), BATCHED)
    return directory


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


async def test_what_has_served_before_is_not_tried_again_after_a_restart(
    repository: Path, tmp_path: Path
) -> None:
    async with running_server(repository, tmp_path / "state") as server:
        await replaced(server)
        tried = server.server.lifecycle._loader._trials
        assert tried.pids
    async with running_server(repository, tmp_path / "state") as server:
        tried = server.server.lifecycle._loader._trials
        assert await answer(server) == 2
        await rollback(server)
        assert await answer(server) == 1
        assert tried.pids == frozenset()
        publish(repository, "one", 1, row_constant(3))
        await until_answer(server, 3)
        assert tried.pids


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


async def test_a_server_that_is_killed_leaves_what_can_be_gone_back_to(
    repository: Path, tmp_path: Path
) -> None:
    with server_process(repository, tmp_path / "state") as process:
        publish(repository, "one", 1, row_constant(2))
        async with AsyncClient(process.http) as client:

            async def is_two() -> bool:
                result = await client.infer("one", {"x": np.zeros((1, 4), np.float32)})
                return int(result["y"].flat[0]) == 2

            await until(is_two)
            note = tmp_path / "state" / "history" / "one.json"
            await until(lambda: json.loads(note.read_bytes())["previous"] is not None)
        process.process.kill()
        process.process.wait()
    put(tmp_path / "state" / "snapshots" / ".partial-abc" / "model.onnx")
    async with running_server(repository, tmp_path / "state") as server:
        assert await answer(server) == 2
        await rollback(server)
        assert await answer(server) == 1
    assert ".partial-abc" not in os.listdir(tmp_path / "state" / "snapshots")
