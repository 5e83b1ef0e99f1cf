"""How good networks are: by playing them."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from sim_core.arrays import AnyArray, FloatArray, IntArray
from sim_core.game import UNDECIDED, Game
from sim_core.policies.choice import choose
from sim_core.training.evolution import Vector
from sim_core.training.network import Network

GROUNDS: Final = 8
"""Matches of a candidate in a generation; all candidates play the same ones."""
_LATE: Final = 0.03
"""Share of matches that need not be played to their end: how they stand will do."""
_COMPACT: Final = 0.8
"""Share of matches that must still run for the others to be carried along."""
_LEAD: Final = 0.5
"""What all health kept, with all of the others' taken, adds to the 1 of a win."""

Opponent = Callable[[FloatArray], IntArray]
"""From observations [rows, ...] to actions [rows]."""


def as_opponent(network: Network) -> Opponent:
    """Plays as the network says."""
    return lambda observations: choose(network.scores(observations))


def rate(game: Game[Any], networks: Network, opponents: Sequence[Opponent], seed: int, first: int) -> Vector:
    """The mean result of each network, as team 0, over GROUNDS matches from number `first` on, of which each
    opponent plays its share.

    The games are symmetric, so the other side would tell the same.
    """
    count, own = len(networks.direct), game.team_of == 0
    grounds = game.start(seed, np.arange(first, first + GROUNDS, dtype=np.int32))
    most = game.shown(grounds).health[0, own].sum()
    state = grounds.take(np.tile(np.arange(GROUNDS), count))
    matches = np.arange(count * GROUNDS)
    results = np.zeros(len(matches))
    for _ in range(game.most_ticks):
        actions = _decide(game, networks, opponents, matches, game.observe(state))
        state, _ = game.step(state, actions)
        health = game.shown(state).health
        lead = health[:, own].sum(axis=1) - health[:, ~own].sum(axis=1)
        results[matches] = np.sign(lead) + _LEAD * lead / most
        running = game.winner(state) == UNDECIDED
        if running.sum() <= _LATE * len(results):
            break
        if running.mean() < _COMPACT:
            state, matches = state.take(running), matches[running]
    return np.asarray(results.reshape(count, GROUNDS).mean(axis=1), np.float64)


def _decide(
    game: Game[Any], networks: Network, opponents: Sequence[Opponent], matches: AnyArray, seen: FloatArray
) -> IntArray:
    """The actions in these matches, which are in the order of their networks."""
    own = game.team_of == 0
    actions = np.empty(seen.shape[:2], np.int32)
    bounds = np.searchsorted(matches, np.arange(len(networks.direct) + 1) * GROUNDS)
    for network, (begin, end) in enumerate(pairwise(bounds.tolist())):
        rows = seen[begin:end, own].reshape(-1, game.observation_size)
        scores = networks.one(network).scores(rows)
        actions[begin:end, own] = choose(scores).reshape(end - begin, own.sum())
    turn = matches % GROUNDS % len(opponents)
    for place, opponent in enumerate(opponents):
        mine = np.flatnonzero(turn == place)
        if not len(mine):
            continue
        faced = seen[mine][:, ~own]
        decided = opponent(faced.reshape(-1, game.observation_size)).reshape(len(mine), (~own).sum())
        actions[np.ix_(mine, ~own)] = decided
    return actions
