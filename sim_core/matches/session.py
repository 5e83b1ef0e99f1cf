"""From names of policies to matches that were played: what the commands have in common."""

import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim_core.game import Game
from sim_core.matches.header import replay_header
from sim_core.matches.play import Fixture, Play
from sim_core.matches.results import Results
from sim_core.policies.opening import open_policies
from sim_core.policies.served import Asking
from sim_core.replays.documents import Header
from sim_core.replays.writer import MatchRecord, ReplayWriter


@dataclass(frozen=True, slots=True)
class Session:
    """Matches to be played."""

    game: Game[Any]
    policies: Sequence[str]
    fixtures: Sequence[Fixture]
    seed: int
    parallel: int
    url: str
    asking: Asking
    replay: Path | None = None


@dataclass(frozen=True, slots=True)
class Played:
    """How it was."""

    header: Header
    seconds: float
    """That the matches took."""


async def play_session(
    session: Session, results: Results, ended: Callable[[MatchRecord], None] = lambda record: None
) -> Played:
    """Fills `results` while matches end, and writes the replay if one is wanted; `ended` hears of each match.
    What was over when an error came is in the results and the replay."""
    async with AsyncExitStack() as resources:
        opened = await open_policies(
            session.policies,
            session.game,
            seed=session.seed,
            url=session.url,
            asking=session.asking,
            resources=resources,
        )
        header = replay_header(
            session.game,
            seed=session.seed,
            matches=len(session.fixtures),
            policies=[policy.entry for policy in opened.policies],
            server=opened.server,
        )
        with nullcontext() if session.replay is None else ReplayWriter(session.replay, header) as writer:

            def record(match: MatchRecord) -> None:
                results.add(match)
                if writer is not None:
                    writer.add(match)
                ended(match)

            began = time.perf_counter()
            play = Play(session.game, opened.policies, seed=session.seed, parallel=session.parallel)
            await play.play(session.fixtures, record)
            return Played(header, time.perf_counter() - began)
