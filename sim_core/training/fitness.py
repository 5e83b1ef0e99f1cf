"""How good networks are: by playing them."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from sim_core.arrays import FloatArray, IntArray
from sim_core.game import UNDECIDED, Game
from sim_core.policies.choice import choose
from sim_core.training.evolution import Vector
from sim_core.training.network import Network

GROUNDS: Final = 16
"""Matches of a candidate in a generation; all candidates play the same ones."""
_LATE: Final = 0.03
"""Share of matches that need not be played to their end: how they stand will do."""
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
    count, size = len(networks.direct), game.observation_size
    own, others = game.team_of == 0, game.team_of == 1
    grounds = game.start(seed, np.arange(first, first + GROUNDS, dtype=np.int32))
    state = grounds.take(np.tile(np.arange(GROUNDS), count))
    for _ in range(game.most_ticks):
        seen = game.observe(state)
        actions = np.empty(seen.shape[:2], np.int32)
        scores = networks.scores(seen[:, own].reshape(count, -1, size))
        actions[:, own] = choose(scores).reshape(len(seen), -1)
        for turn, opponent in enumerate(opponents):
            mine = slice(turn, None, len(opponents))
            faced = seen[mine, others]
            actions[mine, others] = opponent(faced.reshape(-1, size)).reshape(len(faced), -1)
        state, _ = game.step(state, actions)
        if (game.winner(state) == UNDECIDED).mean() <= _LATE:
            break
    health = game.shown(state).health
    left, lost = health[:, own].sum(axis=1), health[:, others].sum(axis=1)
    most = game.shown(grounds).health[0, own].sum()
    result = np.sign(left - lost) + _LEAD * (left - lost) / most
    return np.asarray(result.reshape(count, GROUNDS).mean(axis=1), np.float64)
