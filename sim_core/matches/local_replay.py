"""A replay of local policies, without a server: for tests of what reads replays."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from sim_core.arena.game import Arena
from sim_core.arena.script import script
from sim_core.matches.header import replay_header
from sim_core.matches.play import Play, fixtures
from sim_core.policies.local import RandomPolicy, ScriptedPolicy
from sim_core.policies.policy import Policy
from sim_core.replays.writer import PART_MATCHES, MatchRecord, ReplayWriter


def write_local_replay(
    directory: Path,
    *,
    matches: int = 20,
    seed: int = 1,
    parallel: int = 16,
    part_matches: int = PART_MATCHES,
    written: Callable[[MatchRecord], None] = lambda record: None,
) -> None:
    """Random against scripted in the arena, sides swapped from match to match. `written` hears of each match
    that the writer has."""
    game = Arena()
    policies: list[Policy] = [
        RandomPolicy(seed=seed, agents=len(game.team_of), ticks=game.most_ticks, actions=len(game.actions)),
        ScriptedPolicy(script),
    ]
    header = replay_header(
        game, seed=seed, matches=matches, policies=[each.entry for each in policies], server=None
    )
    with ReplayWriter(directory, header, part_matches=part_matches) as writer:

        def record(match: MatchRecord) -> None:
            writer.add(match)
            written(match)

        asyncio.run(Play(game, policies, seed=seed, parallel=parallel).play(fixtures(matches), record))
