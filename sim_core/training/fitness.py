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

_LATE: Final = 0.03
"""Share of matches that need not be played to their end: how they stand will do."""
_COMPACT: Final = 0.8
"""Share of matches that must still run for the others to be carried along."""
_LEAD: Final = 1.0
"""What all health kept, with all of the others' taken, adds to the 1 of a win."""

Opponent = Callable[[FloatArray], IntArray]
"""From observations [rows, ...] to actions [rows]."""


def as_opponent(network: Network) -> Opponent:
    """Plays as the network says."""
    return lambda observations: choose(network.scores(observations))


def rate(
    game: Game[Any], networks: Network, opponents: Sequence[Opponent], *, seed: int, matches: range
) -> Vector:
    """The mean result of each network, as team 0, over these matches, of which each opponent plays its share.

    The games are symmetric, so the other side would tell the same.
    """
    count, each, own = len(networks.direct), len(matches), game.team_of == 0
    grounds = game.start(seed, np.array(matches, np.int32))
    most = game.shown(grounds).health[0, own].sum()
    state = grounds.take(np.tile(np.arange(each), count))
    places = np.arange(count * each)
    turns = [opponents[turn % len(opponents)] for turn in range(each)]
    results = np.zeros(len(places))
    for _ in range(game.most_ticks):
        actions = _decide(game, networks, turns, places, game.observe(state))
        state, _ = game.step(state, actions)
        health = game.shown(state).health
        lead = health[:, own].sum(axis=1) - health[:, ~own].sum(axis=1)
        results[places] = np.sign(lead) + _LEAD * lead / most
        running = game.winner(state) == UNDECIDED
        if running.sum() <= _LATE * len(results):
            break
        if running.mean() < _COMPACT:
            state, places = state.take(running), places[running]
    return np.asarray(results.reshape(count, each).mean(axis=1), np.float64)


def _decide(
    game: Game[Any], networks: Network, opponents: Sequence[Opponent], places: AnyArray, seen: FloatArray
) -> IntArray:
    """The actions in these matches. Their places are in the order of networks, each with as many matches as
    there are opponents."""
    own = game.team_of == 0
    actions = np.empty(seen.shape[:2], np.int32)
    bounds = np.searchsorted(places, np.arange(len(networks.direct) + 1) * len(opponents))
    for network, (begin, end) in enumerate(pairwise(bounds.tolist())):
        rows = seen[begin:end, own].reshape(-1, game.observation_size)
        scores = networks.one(network).scores(rows)
        actions[begin:end, own] = choose(scores).reshape(end - begin, own.sum())
    for opponent in set(opponents):
        plays = np.array([each is opponent for each in opponents])
        mine = np.flatnonzero(plays[places % len(opponents)])
        if not len(mine):
            continue
        faced = seen[mine][:, ~own]
        decided = opponent(faced.reshape(-1, game.observation_size)).reshape(len(mine), (~own).sum())
        actions[np.ix_(mine, ~own)] = decided
    return actions
