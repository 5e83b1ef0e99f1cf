"""Trains the arena's policies: the first from the scripted one and against it, the second from the first.

Both also meet those who only wait. Otherwise they learn to let the others come, and two of them stand still.
"""

from typing import Final

import numpy as np

from sim_core.arena.actions import Action
from sim_core.arena.game import Arena
from sim_core.arena.script import script
from sim_core.arrays import FloatArray, IntArray
from sim_core.training.evolution import Advance, Evolution, Vector, evolve
from sim_core.training.fitness import GROUNDS, Opponent, as_opponent, rate
from sim_core.training.network import Network, Shape

FIRST: Final = Shape(Arena.observation_size, 0, len(Arena.actions))
SECOND: Final = Shape(Arena.observation_size, 16, len(Arena.actions))
FIRST_SEARCH: Final = Evolution(generations=30, spread=0.1, rate=0.03)
SECOND_SEARCH: Final = Evolution(generations=100, pairs=48, spread=0.15, rate=0.05)
_HIDDEN_SPREAD: Final = 0.2
_LESSON_MATCHES: Final = 64
_LESSON_TICKS: Final = 40
_RIDGE: Final = 10.0
"""What keeps weights of what is rarely seen small."""
_CLEAR: Final = 2.0
"""Score of the action that the script takes, over that of the others."""


def train_first(seed: int, advance: Advance, search: Evolution = FIRST_SEARCH) -> Network:
    """A linear policy."""
    game, rng = Arena(), _rng(seed, 1)

    def fitness(candidates: Vector, generation: int) -> Vector:
        networks = Network.unpacked(FIRST, candidates)
        return rate(game, networks, (script, script, script, wait), seed, generation * GROUNDS)

    return Network.unpacked(FIRST, evolve(_imitation(game, seed, rng), fitness, search, rng, advance))


def train_second(seed: int, first: Network, advance: Advance, search: Evolution = SECOND_SEARCH) -> Network:
    """A policy with a hidden layer. Besides the first one it meets others, lest it be only its counter."""
    game, rng = Arena(), _rng(seed, 2)
    known = as_opponent(first)
    opponents: tuple[Opponent, ...] = (known, known, known, known, known, known, script, wait)
    # What leads into the hidden layer stays as it is drawn: fewer parameters are found sooner.
    into = rng.standard_normal(SECOND.inputs * SECOND.hidden) * _HIDDEN_SPREAD
    direct = first.direct.reshape(-1)

    def network(parameters: Vector) -> Network:
        drawn = np.broadcast_to(into, (*parameters.shape[:-1], len(into)))
        parts = (parameters[..., : len(direct)], drawn, parameters[..., len(direct) :])
        return Network.unpacked(SECOND, np.concatenate(parts, axis=-1))

    def fitness(candidates: Vector, generation: int) -> Vector:
        return rate(game, network(candidates), opponents, seed, generation * GROUNDS)

    # Nothing leads out of the hidden layer yet: it begins as the first policy.
    start = np.concatenate([direct, np.zeros(SECOND.hidden * SECOND.outputs)])
    return network(evolve(start, fitness, search, rng, advance))


def wait(observations: FloatArray) -> IntArray:
    """Stands where it is."""
    return np.full(len(observations), Action.WAIT, np.int32)


def _imitation(game: Arena, seed: int, rng: np.random.Generator) -> Vector:
    """The linear policy that is nearest to the script where the script comes to be, by least squares."""
    state = game.start(seed, np.arange(_LESSON_MATCHES, dtype=np.int32))
    seen, done = [], []
    for _ in range(_LESSON_TICKS):
        observed = game.observe(state)[state.alive]
        actions = np.zeros(state.x.shape, np.int32)
        actions[state.alive] = script(observed)
        seen.append(observed)
        done.append(actions[state.alive])
        # Now and then something else, so that it is seen in more than its own company.
        strays = rng.integers(0, len(Action), actions.shape)
        actions = np.where(rng.random(actions.shape) < 0.2, strays, actions).astype(np.int32)
        state, _ = game.step(state, actions)
    inputs = np.concatenate(seen).astype(np.float64)
    wanted = np.eye(len(Action))[np.concatenate(done)] * _CLEAR
    square = inputs.T @ inputs + _RIDGE * np.eye(FIRST.inputs)
    return np.asarray(np.linalg.solve(square, inputs.T @ wanted).reshape(-1), np.float64)


def _rng(seed: int, version: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, version], np.uint64)))
