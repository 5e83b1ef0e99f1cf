"""Trains the policy for rock-paper-scissors."""

from typing import Any, Final

import numpy as np

from sim_core.arrays import FloatArray, IntArray
from sim_core.game import Game
from sim_core.legacy_rps.game import MOVES, REMEMBERED, RockPaperScissors, rps_script
from sim_core.training.evolution import Advance, Evolution, Vector, evolve, played
from sim_core.training.fitness import rate
from sim_core.training.network import Network, Shape

SHAPE: Final = Shape(RockPaperScissors.observation_size, 0, MOVES)
SEARCH: Final = Evolution(generations=40, spread=0.2, rate=0.05)


def train_rps(game: Game[Any], seed: int, advance: Advance, search: Evolution = SEARCH) -> Network:
    """A linear policy, against those who answer the latest move and those who repeat it."""

    def fitness(candidates: Vector, generation: int) -> Vector:
        networks = Network.unpacked(SHAPE, candidates)
        return rate(game, networks, (rps_script, repeat), seed=seed, matches=played(search, generation))

    rng = np.random.Generator(np.random.Philox(key=np.array([seed, 3], np.uint64)))
    return Network.unpacked(SHAPE, evolve(np.zeros(SHAPE.parameters), fitness, search, rng, advance))


def repeat(observations: FloatArray) -> IntArray:
    """Whatever the other played last; paper at first."""
    begin = 4 + REMEMBERED * MOVES
    latest = observations[:, begin : begin + MOVES]
    return np.asarray(np.where(latest.max(axis=1) > 0, latest.argmax(axis=1), 1), np.int32)
