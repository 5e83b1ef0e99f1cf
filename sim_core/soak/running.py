"""A soak from the first match to the verdict."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import polars as pl

from onnxd_client import AsyncClient, ServerError, Unavailable
from sim_core.errors import SimulationError
from sim_core.game import Game
from sim_core.matches.header import replay_header
from sim_core.matches.play import Fixture, Play, fixtures
from sim_core.policies.opening import Opened, open_policies
from sim_core.policies.policy import Policy
from sim_core.policies.served import ANYTHING, Asking
from sim_core.replays.reader import open_replay
from sim_core.replays.writer import MatchRecord, ReplayWriter
from sim_core.soak.disturbances import PATIENCE_S, Disturber
from sim_core.soak.ledger import Ledger, disagreements
from sim_core.soak.models import DISTURBED, STILL, VERSIONS, Shelf, put_models, remove_models
from sim_core.soak.watched import Watched

POLICIES: Final = (*(f"{DISTURBED}:{version}" for version in VERSIONS), f"{STILL}:1", "scripted")
_PAIRS: Final = ((0, 1), (0, 2), (1, 3))


@dataclass(frozen=True, slots=True)
class Soak:
    """What is asked for."""

    game: Game[Any]
    url: str
    repository: Path
    """The directory that the server at `url` watches."""
    seconds: float
    seed: int
    replays: Path
    """A new directory in it for each round."""
    keep: bool
    """Whether rounds are kept once they were looked at."""
    matches: int = 4
    """Of each pair, in a round; all are played at once."""
    deadline_s: float = 30.0
    """For a decision: a miss is a failure, so it is long."""


@dataclass(slots=True)
class Verdict:
    """What came of it."""

    rounds: int = 0
    matches: int = 0
    ticks: int = 0
    answers: int = 0
    allowed: Counter[str] = field(default_factory=Counter)
    """Decisions that were not answered while their version was away, by reason."""
    disturbances: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


async def run_soak(soak: Soak, progress: Callable[[float], None] = lambda seconds: None) -> Verdict:
    """Raises SimulationError when it cannot begin: no server, no such repository, models of these names."""
    if not soak.repository.is_dir():
        raise SimulationError(
            f"{soak.repository}: there is no such directory; expected the server's repository"
        )
    if _round_directory(soak, 0).exists():
        raise SimulationError(f"{soak.replays}: holds the replays of a soak already: name another directory")
    verdict = Verdict()
    shelves = put_models(soak.repository, soak.game, soak.seed)
    try:
        async with AsyncExitStack() as resources:
            client = await resources.enter_async_context(AsyncClient(soak.url))
            for shelf in shelves:
                await _load(client, shelf)
            opened = await open_policies(
                POLICIES,
                soak.game,
                seed=soak.seed,
                url=soak.url,
                asking=Asking(deadline_s=soak.deadline_s, tolerated=ANYTHING),
                resources=resources,
            )
            await _soak(soak, client, shelves, opened, verdict, progress)
    except ServerError as error:
        raise SimulationError(f"{soak.url}: {error.message}") from error
    finally:
        remove_models(soak.repository)
    for shelf in shelves:
        verdict.failures += shelf.ledger.failures
        verdict.allowed.update({reason.value: number for reason, number in shelf.ledger.allowed.items()})
        verdict.answers += shelf.ledger.answers.total()
    return verdict


async def _soak(
    soak: Soak,
    client: AsyncClient,
    shelves: tuple[Shelf, Shelf],
    opened: Opened,
    verdict: Verdict,
    progress: Callable[[float], None],
) -> None:
    """Rounds of matches, while the model is disturbed beside them."""
    disturbed, still = shelves
    ledgers = (disturbed.ledger, disturbed.ledger, still.ledger, None)
    policies: list[Policy] = [
        policy if ledger is None else Watched(policy, ledger)
        for policy, ledger in zip(opened.policies, ledgers, strict=True)
    ]
    # The answers that opening took.
    for policy, ledger in zip(opened.policies, ledgers, strict=True):
        if ledger is not None and policy.entry.content is not None:
            ledger.answers[policy.entry.version or 0, int(policy.entry.content, 16)] += 1
    disturber = Disturber(client, disturbed, soak.seed)
    verdict.disturbances = disturber.done
    over = asyncio.Event()
    counted: Counter[tuple[str, int, int]] = Counter()

    async def disturb() -> dict[int, int]:
        try:
            await disturber.run(soak.seconds)
            return await disturber.finish()
        finally:
            over.set()

    async def play() -> None:
        began_s = asyncio.get_running_loop().time()
        for number in count():
            last = over.is_set()
            counted.update(await _round(soak, policies, opened, number, verdict))
            progress(asyncio.get_running_loop().time() - began_s)
            if last:
                return

    try:
        async with asyncio.TaskGroup() as group:
            finished = group.create_task(disturb())
            group.create_task(play())
    except ExceptionGroup as errors:
        # The first tells why the soak ended; what the others say follows from it.
        verdict.failures[f"the soak ended early: {errors.exceptions[0]}"] += 1
        return
    final = dict.fromkeys(finished.result().items(), 0)
    for shelf in shelves:
        _compare_replays(shelf.ledger, counted, opened, verdict)
    await _compare_counters(client, disturbed.ledger, final, verdict)
    await _compare_counters(client, still.ledger, dict.fromkeys(still.ledger.answers, 0), verdict)


async def _round(
    soak: Soak, policies: list[Policy], opened: Opened, number: int, verdict: Verdict
) -> Counter[tuple[str, int, int]]:
    """Matches of every pair, as a replay; how often which policy's weights answered, from its rows."""
    each = soak.matches
    seed = (soak.seed + number) % 2**63
    wanted: list[Fixture] = [
        fixture
        for place, pair in enumerate(_PAIRS)
        for fixture in fixtures(each, first=place * each, pair=pair)
    ]
    header = replay_header(
        soak.game,
        seed=seed,
        matches=len(wanted),
        policies=[policy.entry for policy in policies],
        server=opened.server,
    )
    directory = _round_directory(soak, number)
    with ReplayWriter(directory, header) as writer:

        def record(match: MatchRecord) -> None:
            writer.add(match)
            verdict.matches += 1
            verdict.ticks += match.entry.ticks

        await Play(soak.game, policies, seed=seed, parallel=len(wanted)).play(wanted, record)
    verdict.rounds += 1
    counted = await asyncio.to_thread(_answers_of, directory)
    if not soak.keep:
        await asyncio.to_thread(shutil.rmtree, directory)
    return counted


def _round_directory(soak: Soak, number: int) -> Path:
    return soak.replays / f"round-{number:05d}"


def _answers_of(directory: Path) -> Counter[tuple[str, int, int]]:
    replay = open_replay(directory)
    rows = replay.scan().filter(
        pl.col("action").is_not_null() & ~pl.col("fallback") & (pl.col("version") > 0)
    )
    groups = rows.group_by("policy", "version", "weights").len().collect()
    return Counter(
        {
            (replay.header.policies[policy].name, version, weights): number
            for policy, version, weights, number in groups.iter_rows()
        }
    )


def _compare_replays(
    ledger: Ledger, counted: Counter[tuple[str, int, int]], opened: Opened, verdict: Verdict
) -> None:
    """What the replays say has answered, besides the one answer of each opening."""
    found: Counter[tuple[int, int]] = Counter()
    for (policy, version, weights), number in counted.items():
        if policy.startswith(f"{ledger.model}:"):
            found[version, weights] += number
    for policy_ in opened.policies:
        if policy_.entry.model == ledger.model and policy_.entry.content is not None:
            found[policy_.entry.version or 0, int(policy_.entry.content, 16)] += 1
    for key in ledger.answers:
        found.setdefault(key, 0)
    verdict.failures.update(disagreements(ledger, found, where="in the replays"))


async def _compare_counters(
    client: AsyncClient, ledger: Ledger, keys: dict[tuple[int, int], int], verdict: Verdict
) -> None:
    """The server counts since a version's weights were loaded; so for those that serve at the end."""
    try:
        statistics = {int(each["version"]): each for each in await client.statistics(ledger.model)}
    except ServerError as error:
        verdict.failures[f"{ledger.model}: no statistics: {error.message}"] += 1
        return
    counted = {}
    for version, weights in keys:
        stats: dict[str, Any] = statistics.get(version, {}).get("inference_stats", {})
        counted[version, weights] = int(stats.get("success", {}).get("count", 0))
        if failed := int(stats.get("fail", {}).get("count", 0)):
            verdict.failures[f"{ledger.model} version {version}: the server counts {failed} failures"] += 1
    verdict.failures.update(disagreements(ledger, counted, where="in the server's counters"))


async def _load(client: AsyncClient, shelf: Shelf) -> None:
    """By the API, and not by waiting for it: a model of this name may serve still, of files that are gone.

    Raises SimulationError when the server does not have it: then it is one of another directory, or none.
    """
    try:
        await client.repository.load(shelf.ledger.model, deadline=PATIENCE_S)
    except Unavailable as error:
        raise SimulationError(f"the server does not answer: {error.message}") from error
    except ServerError as error:
        raise SimulationError(
            f"{shelf.directory}: cannot be loaded: {error.message}; expected a server that watches this "
            "directory (model_control watch) and lets us load and unload"
        ) from error
