"""Policies that a real server runs: the same matches however they are asked, through reloads and losses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import pytest_asyncio

from onnxd_client import AsyncClient
from sim_core.arena.game import Arena
from sim_core.arena.rules import Rules
from sim_core.errors import BadPolicy, ServerAway
from sim_core.matches.play import Play, fixtures
from sim_core.matches.results import Results
from sim_core.matches.session import Session, play_session
from sim_core.policies.opening import open_policies
from sim_core.policies.policy import Answer, Policy, Question
from sim_core.policies.served import ANYTHING, Asking
from sim_core.replays.reader import Replay, open_replay
from sim_core.replays.schema import Reason
from sim_core.replays.writer import MatchRecord
from sim_core.training.network import Network, Shape
from tests.sim.policies import any_network, publish_policy
from tests.support.server import RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

OLD, NEW, OTHER_GAME = any_network(1), any_network(2), any_network(3, Shape(22, 0, 3))
MATCHES = 4
OTHER_SCORES = any_network(4, Shape(152, 0, 5))
SHORT = Arena(Rules(ticks=7))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    repository = tmp_path_factory.mktemp("repository")
    publish_policy(repository, "policy", 1, OLD)
    publish_policy(repository, "policy", 2, NEW)
    publish_policy(repository, "reloaded", 1, OLD)
    publish_policy(repository, "unloaded", 1, OLD)
    publish_policy(repository, "other_game", 1, OTHER_GAME)
    async with running_server(repository, tmp_path_factory.mktemp("state")) as server:
        yield server


def session(server: RunningServer, replay: Path | None = None, **changes: object) -> Session:
    standard = Session(
        game=SHORT,
        policies=("policy:1", "policy:2"),
        fixtures=fixtures(MATCHES),
        seed=3,
        parallel=MATCHES,
        url=f"grpc://{server.grpc}",
        asking=Asking(),
        replay=replay,
    )
    return replace(standard, **changes)  # type: ignore[arg-type]


async def played(server: RunningServer, replay: Path, **changes: object) -> Replay:
    wanted = session(server, replay, **changes)
    await play_session(wanted, Results(wanted.policies))
    return open_replay(replay)


class Interrupted:
    """A policy that lets something happen before it decides in a tick of the first match."""

    def __init__(self, policy: Policy, tick: int, what: Callable[[Question], Awaitable[None]]) -> None:
        self.entry = policy.entry
        self._policy, self._tick, self._what = policy, tick, what

    async def decide(self, question: Question) -> Answer:
        if (question.tick == self._tick).any():
            await self._what(question)
        return await self._policy.decide(question)


async def test_the_replay_is_the_same_for_any_parallelism_wire_and_grouping(
    server: RunningServer, tmp_path: Path
) -> None:
    ways: list[dict[str, object]] = [
        {"parallel": 64},
        {"parallel": 8},
        {"parallel": 1},
        {"parallel": 64, "url": server.http, "asking": Asking(per="team")},
    ]
    replays = [
        await played(server, tmp_path / str(number), fixtures=fixtures(9), **way)
        for number, way in enumerate(ways)
    ]

    assert len({tuple(file.read_bytes() for file in replay.files) for replay in replays}) == 1
    rows = replays[0].scan().filter(pl.col("action").is_not_null()).collect()
    assert set(rows.select("policy", "version", "weights").unique().iter_rows()) == {
        (0, 1, OLD.fingerprint()),
        (1, 2, NEW.fingerprint()),
    }
    assert [policy.content for policy in replays[0].header.policies] == [
        f"{network.fingerprint():016x}" for network in (OLD, NEW)
    ]
    assert replays[0].header.server is not None
    assert replays[0].header.server.name == "onnxd"


async def test_a_reload_in_the_middle_of_matches_fails_no_decision_and_shows_in_the_rows(
    server: RunningServer, tmp_path: Path
) -> None:
    records: list[MatchRecord] = []
    async with AsyncExitStack() as resources:
        opened = await open_policies(
            ("reloaded", "scripted"),
            SHORT,
            seed=3,
            url=f"grpc://{server.grpc}",
            asking=Asking(),
            resources=resources,
        )
        served = opened.policies[0]

        async def reload(question: Question) -> None:
            """Publish new weights, and ask on and on until they answer."""
            publish_policy(server.repository, "reloaded", 1, NEW)
            async with asyncio.timeout(30):
                while True:
                    answer = await served.decide(question)
                    assert not answer.fallback.any()
                    assert set(answer.weights.tolist()) <= {OLD.fingerprint(), NEW.fingerprint()}
                    if set(answer.weights.tolist()) == {NEW.fingerprint()}:
                        return

        play = Play(SHORT, [Interrupted(served, 5, reload), opened.policies[1]], seed=3, parallel=MATCHES)
        await play.play(fixtures(MATCHES), records.append)

    for record in records:
        team = record.entry.policies.index(0)
        assert record.entry.fallbacks == ({}, {})
        rows = pl.DataFrame(dict(record.columns)).filter((pl.col("team") == team) & (pl.col("action") >= 0))
        before, after = rows.filter(pl.col("tick") <= 5), rows.filter(pl.col("tick") > 5)
        assert before["weights"].unique().to_list() == [OLD.fingerprint()]
        assert after["weights"].unique().to_list() == [NEW.fingerprint()]


async def test_what_the_server_does_not_answer_in_time_is_a_fallback_with_its_reason(
    server: RunningServer, tmp_path: Path
) -> None:
    async with AsyncExitStack() as resources:
        opened = await open_policies(
            ("policy", "random"), SHORT, seed=3, url=f"grpc://{server.grpc}",
            asking=Asking(deadline_s=1e-6, fallback=6), resources=resources,
        )  # fmt: skip
        records: list[MatchRecord] = []
        await Play(SHORT, opened.policies, seed=3, parallel=1).play(fixtures(1), records.append)

    (record,) = records
    rows = pl.DataFrame(dict(record.columns)).filter((pl.col("policy") == 0) & (pl.col("action") >= 0))
    assert record.entry.fallbacks == ({Reason.DEADLINE: record.entry.decisions[0]}, {})
    assert rows.select(pl.col("action", "fallback", "version").unique()).row(0) == (6, 1, 0)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (OTHER_GAME, "policy replaced: input 'observation'"),
        (OTHER_SCORES, "does not fit the game any more: scores"),
    ],
    ids=["other observations", "other actions"],
)
async def test_a_model_that_is_replaced_by_another_games_ends_the_matches_unless_that_is_tolerated(
    server: RunningServer, other: Network, says: str
) -> None:
    async with AsyncExitStack() as resources:
        client = await resources.enter_async_context(AsyncClient(server.http))

        async def replaced(question: Question) -> None:
            publish_policy(server.repository, "replaced", 1, other)
            await client.repository.load("replaced")

        async def play(asking: Asking) -> list[MatchRecord]:
            publish_policy(server.repository, "replaced", 1, OLD)
            await client.repository.load("replaced")
            opened = await open_policies(
                ("replaced", "random"),
                SHORT,
                seed=3,
                url=f"grpc://{server.grpc}",
                asking=asking,
                resources=resources,
            )
            records: list[MatchRecord] = []
            policies = [Interrupted(opened.policies[0], 4, replaced), opened.policies[1]]
            await Play(SHORT, policies, seed=3, parallel=1).play(fixtures(1), records.append)
            return records

        with pytest.raises(BadPolicy, match=says):
            await play(Asking())
        (record,) = await play(Asking(tolerated=ANYTHING))

    assert set(record.entry.fallbacks[0]) == {Reason.INVALID}
    assert 0 < record.entry.fallbacks[0][Reason.INVALID] < record.entry.decisions[0]


async def test_a_server_that_goes_away_ends_the_matches_and_what_was_over_is_kept(tmp_path: Path) -> None:
    publish_policy(tmp_path / "repository", "policy", 1, OLD)
    stack = AsyncExitStack()
    server = await stack.enter_async_context(running_server(tmp_path / "repository", tmp_path / "state"))
    over: list[MatchRecord] = []
    wanted = session(server, tmp_path / "replay", policies=("policy", "random"), parallel=1)
    leaving = asyncio.Event()

    async def leave() -> None:
        await leaving.wait()
        await stack.aclose()

    def ended(record: MatchRecord) -> None:
        over.append(record)
        leaving.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(leave())
        with pytest.raises(ServerAway, match="policy policy: nothing answers"):
            await play_session(replace(wanted, fixtures=fixtures(500)), Results(wanted.policies), ended)

    replay = open_replay(tmp_path / "replay")
    assert len(replay.matches) == len(over) >= 1
    assert not replay.header.complete


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nobody", "policy 'nobody': unknown model .* local ones are random and scripted"),
        ("policy:9", "policy 'policy:9': "),
        ("policy:two", "expected random, scripted, MODEL or MODEL:VERSION"),
        ("../policy", "expected random, scripted, MODEL or MODEL:VERSION"),
        ("other_game", r"takes 'observation' as FP32 \[-1, 22\]; arena gives observations FP32 \[-1, 152\]"),
    ],
)
async def test_a_policy_that_cannot_play_is_named_before_anything_is_played(
    server: RunningServer, tmp_path: Path, name: str, says: str
) -> None:
    wanted = session(server, tmp_path / "replay", policies=("random", name))
    with pytest.raises(BadPolicy, match=says):
        await play_session(wanted, Results(wanted.policies))
    assert not (tmp_path / "replay").exists()


async def test_where_nothing_listens_is_said(tmp_path: Path) -> None:
    async with AsyncExitStack() as resources:
        with pytest.raises(ServerAway, match="no server answers: "):
            await open_policies(
                ("policy",), SHORT, seed=1, url="http://127.0.0.1:9", asking=Asking(), resources=resources
            )
