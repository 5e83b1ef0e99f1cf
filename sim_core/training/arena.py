"""Trains the arena's policies: the first against the scripted one, the second against the first."""

from typing import Final

import numpy as np

from sim_core.arena.game import Arena
from sim_core.arena.script import script
from sim_core.arrays import FloatArray
from sim_core.training.evolution import Advance, Evolution, Vector, evolve, played
from sim_core.training.fitness import Opponent, as_opponent, rate
from sim_core.training.lessons import clock, imitate, patient, wait
from sim_core.training.network import Network, Shape

FIRST: Final = Shape(Arena.observation_size, 0, len(Arena.actions))
SECOND: Final = Shape(Arena.observation_size, 8, len(Arena.actions))
FIRST_SEARCH: Final = Evolution(generations=16, spread=0.1, rate=0.03)
SECOND_SEARCH: Final = Evolution(generations=16, spread=0.1, rate=0.03)


def train_first(seed: int, advance: Advance, search: Evolution = FIRST_SEARCH) -> Network:
    """A linear policy, which begins as the script."""
    return _train(FIRST, script, (script, script, script, wait), seed, 1, advance, search)


def train_second(seed: int, first: Network, advance: Advance, search: Evolution = SECOND_SEARCH) -> Network:
    """A policy with a sense of time, which begins as one that lets the others come. It meets more than the
    first, lest it be its counter only."""
    known = as_opponent(first)
    return _train(SECOND, patient, (known, known, script, wait), seed, 2, advance, search)


def _train(
    shape: Shape, rule: Opponent, opponents: tuple[Opponent, ...], seed: int, version: int,
    advance: Advance, search: Evolution,
) -> Network:  # fmt: skip
    """What leads into the hidden layer stays as it is."""
    game, into = Arena(), clock(shape)
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, version], np.uint64)))

    def fitness(candidates: Vector, generation: int) -> Vector:
        networks = _network(shape, into, candidates)
        return rate(game, networks, opponents, seed=seed, matches=played(search, generation))

    start = imitate(game, rule, into, seed, rng)
    return _network(shape, into, evolve(start, fitness, search, rng, advance))


def _network(shape: Shape, into: FloatArray, parameters: Vector) -> Network:
    """From the direct weights and those out of the hidden layer, one after the other."""
    direct = shape.inputs * shape.outputs
    fixed = np.broadcast_to(into.reshape(-1), (*parameters.shape[:-1], into.size))
    parts = (parameters[..., :direct], fixed, parameters[..., direct:])
    return Network.unpacked(shape, np.concatenate(parts, axis=-1))
