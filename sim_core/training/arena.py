"""Trains the arena's policies: the first against the scripted one, the second against the first.

Both also meet those who only wait. Otherwise they learn to let the others come, and two of them stand still.
"""

from typing import Final

import numpy as np

from sim_core.arena.actions import Action
from sim_core.arena.game import Arena
from sim_core.arena.script import script
from sim_core.arrays import FloatArray, IntArray
from sim_core.training.evolution import Advance, Evolution, Vector, evolve
from sim_core.training.fitness import GROUNDS, as_opponent, rate
from sim_core.training.network import Network, Shape

FIRST: Final = Shape(Arena.observation_size, 0, len(Arena.actions))
SECOND: Final = Shape(Arena.observation_size, 16, len(Arena.actions))
FIRST_SEARCH: Final = Evolution(generations=60, spread=0.15, rate=0.05)
SECOND_SEARCH: Final = Evolution(generations=80, spread=0.1, rate=0.03)
_HIDDEN_SPREAD: Final = 0.2


def train_first(seed: int, advance: Advance, search: Evolution = FIRST_SEARCH) -> Network:
    """A linear policy."""
    game = Arena()

    def fitness(candidates: Vector, generation: int) -> Vector:
        opponent = (script, script, wait)[generation % 3]
        return rate(game, Network.unpacked(FIRST, candidates), opponent, seed, generation * GROUNDS)

    rng = np.random.Generator(np.random.Philox(key=np.array([seed, 1], np.uint64)))
    return Network.unpacked(FIRST, evolve(np.zeros(FIRST.parameters), fitness, search, rng, advance))


def train_second(seed: int, first: Network, advance: Advance, search: Evolution = SECOND_SEARCH) -> Network:
    """A policy with a hidden layer, which begins as the first one."""
    game = Arena()
    # Others now and then, so that it is not only a counter to the first.
    opponents = (as_opponent(first), as_opponent(first), script, as_opponent(first), as_opponent(first), wait)

    def fitness(candidates: Vector, generation: int) -> Vector:
        opponent = opponents[generation % len(opponents)]
        return rate(game, Network.unpacked(SECOND, candidates), opponent, seed, generation * GROUNDS)

    rng = np.random.Generator(np.random.Philox(key=np.array([seed, 2], np.uint64)))
    start = np.zeros(SECOND.parameters)
    direct = first.direct.reshape(-1)
    into = slice(len(direct), len(direct) + SECOND.inputs * SECOND.hidden)
    start[: len(direct)] = direct
    # Something into the hidden layer and nothing out of it: so far it changes no score.
    start[into] = rng.standard_normal(into.stop - into.start) * _HIDDEN_SPREAD
    return Network.unpacked(SECOND, evolve(start, fitness, search, rng, advance))


def wait(observations: FloatArray) -> IntArray:
    """Stands where it is."""
    return np.full(len(observations), Action.WAIT, np.int32)
