"""Where training begins: the networks that are nearest to what people would do."""

from typing import Final

import numpy as np

from sim_core.arena.actions import Action
from sim_core.arena.game import Arena
from sim_core.arena.observe import PLANES, SELF, SIDE
from sim_core.arena.script import script
from sim_core.arrays import FloatArray, IntArray
from sim_core.game import UNDECIDED
from sim_core.training.evolution import Vector
from sim_core.training.fitness import Opponent
from sim_core.training.network import HIDDEN_STEPS, MOST, Shape

_ONE: Final = len(PLANES) * SIDE * SIDE + SELF.index("one")
_TIME_LEFT: Final = len(PLANES) * SIDE * SIDE + SELF.index("time left")
_PATIENCE: Final = 0.6
"""Share of the time that must be left to let the others come."""
_MATCHES: Final = 64
_TICKS: Final = 60
_STRAYS: Final = 0.2
"""Share of actions that are anything, so that more is seen than the rule leads to."""
_RIDGE: Final = 10.0
"""What keeps weights of what is rarely seen small."""
_CLEAR: Final = 2.0
"""Score of the action that the rule takes, over that of the others."""


def wait(observations: FloatArray) -> IntArray:
    """Stands where it is."""
    return np.full(len(observations), Action.WAIT, np.int32)


def patient(observations: FloatArray) -> IntArray:
    """As the script, but lets the others come while there is time: who comes pays for the way, and comes one
    after the other."""
    actions = script(observations)
    moves = (actions >= Action.UP) & (actions <= Action.AHEAD)
    early = observations[:, _TIME_LEFT] > _PATIENCE
    return np.asarray(np.where(moves & early, Action.WAIT, actions), np.int32)


def clock(shape: Shape) -> FloatArray:
    """Weights into a hidden layer that tells the time: each unit is above 0 while its share is left."""
    into = np.zeros((shape.inputs, shape.hidden), np.float32)
    into[_TIME_LEFT] = MOST
    into[_ONE] = -MOST * np.arange(shape.hidden) / max(shape.hidden, 1)
    return into


def imitate(game: Arena, rule: Opponent, into: FloatArray, seed: int, rng: np.random.Generator) -> Vector:
    """The direct weights, and those out of the hidden layer, that come nearest to a rule where it comes to be
    in matches against the script; by least squares."""
    state = game.start(seed, np.arange(_MATCHES, dtype=np.int32))
    own = game.team_of == 0
    seen, done = [], []
    for _ in range(_TICKS):
        observed = game.observe(state)
        rows = observed.reshape(-1, game.observation_size)
        actions = np.where(own, rule(rows).reshape(state.x.shape), script(rows).reshape(state.x.shape))
        taught = own & state.alive & (game.winner(state) == UNDECIDED)[:, None]
        seen.append(observed[taught])
        done.append(actions[taught])
        strays = rng.integers(0, len(Action), actions.shape)
        actions = np.where(rng.random(actions.shape) < _STRAYS, strays, actions)
        state, _ = game.step(state, actions.astype(np.int32))
    direct = np.concatenate(seen).astype(np.float64)
    hidden = np.clip(np.rint(direct @ into * HIDDEN_STEPS) / HIDDEN_STEPS, 0, MOST)
    inputs = np.concatenate([direct, hidden], axis=1)
    wanted = np.eye(len(Action))[np.concatenate(done)] * _CLEAR
    square = inputs.T @ inputs + _RIDGE * np.eye(inputs.shape[1])
    return np.asarray(np.linalg.solve(square, inputs.T @ wanted).reshape(-1), np.float64)
