"""The soak: a real server passes it, and what a server must not do is found."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from onnxd_client import AsyncClient
from sim_core.arena.game import Arena
from sim_core.arena.rules import Rules
from sim_core.errors import SimulationError
from sim_core.matches.play import Play
from sim_core.replays.reader import open_replays
from sim_core.soak.command import verdict_document
from sim_core.soak.models import DISTURBED, STILL
from sim_core.soak.running import Soak, run_soak
from sim_core.soak.server import own_server
from tests.sim.policies import any_network, publish_policy
from tests.support.server import RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

EACH = (
    "broken config",
    "broken model",
    "reload by API",
    "reload by files",
    "unload by API",
    "version removed",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    repository = tmp_path_factory.mktemp("repository")
    publish_policy(repository, "policy", 1, any_network(1))
    async with running_server(repository, tmp_path_factory.mktemp("state")) as server:
        yield server


def soak(server: RunningServer, replays: Path) -> Soak:
    return Soak(
        game=Arena(Rules(ticks=12)),
        url=f"grpc://{server.grpc}",
        repository=server.repository,
        seconds=0,
        seed=1,
        replays=replays,
        keep=True,
        matches=2,
    )


@pytest.mark.slow
async def test_a_real_server_passes(server: RunningServer, tmp_path: Path) -> None:
    document = verdict_document(await run_soak(soak(server, tmp_path / "replays")))
    replays = open_replays([tmp_path / "replays"])

    assert document["failures"] == {}
    assert document["passed"]
    assert document["disturbances"] == dict.fromkeys(EACH, 1)
    assert set(document["not_answered_while_away"]) <= {"not found", "unavailable"}
    assert document["rounds"] == len(replays) > 0
    assert document["matches"] == sum(len(replay.matches) for replay in replays)
    assert all(replay.problems == () for replay in replays)
    # The repository is as it was.
    assert names_in(server.repository) == ["policy"]


@pytest.mark.slow
async def test_weights_that_nobody_published_and_counters_that_disagree_are_found(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger puts weights of its own under the still model, after a request of its own."""
    rounds = 0
    played = Play.play

    async def play(self: Play, *arguments: object) -> None:  # type: ignore[type-arg]
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            async with AsyncClient(server.http) as client:
                observation = np.zeros((1, Arena.observation_size), np.float32)
                await client.infer(STILL, {"observation": observation})
                publish_policy(server.repository, STILL, 1, any_network(99))
                await client.repository.load(STILL)
        await played(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Play, "play", play)
    verdict = await run_soak(replace(soak(server, tmp_path / "replays"), keep=False))
    failures = sorted(verdict.failures)

    assert any(f"{STILL} version 1: weights answered that it never had" in each for each in failures)
    assert any(f"{STILL} version 1: " in each and "in the server's counters" in each for each in failures)
    assert [each for each in failures if DISTURBED in each] == []
    assert not verdict_document(verdict)["passed"]
    assert names_in(tmp_path / "replays") == []


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_its_own_server_serves_a_copy_and_ends(tmp_path: Path) -> None:
    publish_policy(tmp_path / "models", "policy", 1, any_network(1))
    async with own_server(tmp_path / "models") as own:
        async with AsyncClient(own.url) as client:
            assert (await client.server()).name == "onnxd"
        assert own.repository != tmp_path / "models"
        assert (own.repository / "policy").is_dir()
    assert own.exit_code == 0
    assert not own.repository.exists()


async def test_a_server_of_another_directory_is_said(server: RunningServer, tmp_path: Path) -> None:
    elsewhere = replace(soak(server, tmp_path / "replays"), repository=tmp_path)
    with pytest.raises(SimulationError, match=r"cannot be loaded: .* expected a server that watches this"):
        await run_soak(elsewhere)
    assert names_in(tmp_path) == []


async def test_no_server_at_the_address_is_said_and_nothing_is_left_behind(tmp_path: Path) -> None:
    nobody = Soak(
        game=Arena(),
        url="grpc://127.0.0.1:9",
        repository=tmp_path,
        seconds=0,
        seed=1,
        replays=tmp_path / "replays",
        keep=False,
    )
    with pytest.raises(SimulationError, match="the server does not answer: "):
        await run_soak(nobody)
    assert names_in(tmp_path) == []
