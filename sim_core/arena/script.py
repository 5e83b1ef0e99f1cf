"""How a person would play the arena: the policy that learned ones are measured against."""

from collections.abc import Callable
from typing import Final

import numpy as np

from sim_core.arena.actions import Action
from sim_core.arena.observe import PLANES, SELF, SIDE
from sim_core.arena.rules import VIEW_RADIUS
from sim_core.arrays import BoolArray, FloatArray, IntArray

_VIEW: Final = len(PLANES) * SIDE * SIDE
_HURT: Final = 0.25
"""Share of health that someone must miss to be healed."""
_WEAK: Final = 0.4
"""Share of health below which an agent looks for a pack."""
_TIRED: Final = 0.2
"""Share of energy below which it rests."""
_ATTACK_ENERGY: Final = 4 / 32
_HEAL_ENERGY: Final = 6 / 32


def script(observations: FloatArray) -> IntArray:
    """Strike who is within reach, heal when nobody is, look for packs when weak, else go to the enemy."""
    seen = observations
    own = {name: seen[:, _VIEW + place] for place, name in enumerate(SELF)}
    fights = own["enemy within reach"] > 0
    choices: list[tuple[BoolArray, IntArray]] = [
        (fights & (own["energy"] >= _ATTACK_ENERGY), _all(seen, Action.ATTACK)),
        (fights & (own["energy"] > 0), _all(seen, Action.DEFEND)),
        (
            (own["weakest ally within reach misses"] >= _HURT) & (own["energy"] >= _HEAL_ENERGY),
            _all(seen, Action.HEAL),
        ),
        ((own["health"] < _WEAK) & (own["health pack known"] > 0), _towards(seen, own, "health pack")),
        (own["energy"] < _TIRED, _all(seen, Action.WAIT)),
        (own["enemy known"] > 0, _towards(seen, own, "enemy")),
    ]
    conditions, actions = [each[0] for each in choices], [each[1] for each in choices]
    return np.select(conditions, actions, default=np.int32(Action.WAIT)).astype(np.int32)


def _all(seen: FloatArray, action: Action) -> IntArray:
    return np.full(len(seen), action, np.int32)


def _towards(seen: FloatArray, own: dict[str, FloatArray], goal: str) -> IntArray:
    """The longer way first; where something stands there, the other one; else wait for it to go."""
    ahead, below = own[f"{goal} ahead"], own[f"{goal} below"]
    along = np.where(ahead >= 0, Action.AHEAD, Action.BACK)
    across = np.where(below >= 0, Action.DOWN, Action.UP)
    longer = np.where(abs(ahead) >= abs(below), along, across)
    other = np.where(abs(ahead) >= abs(below), across, along)
    free = _free(seen)
    rows = np.arange(len(seen))
    second = np.where(free[rows, other], other, Action.WAIT)
    return np.asarray(np.where(free[rows, longer], longer, second), np.int32)


def _free(seen: FloatArray) -> BoolArray:
    """[rows, actions]: whether a move leads to a cell that is free now."""
    view = seen[:, :_VIEW].reshape(-1, SIDE, SIDE, len(PLANES))
    taken = np.asarray((view[..., :3] > 0).any(axis=3), np.bool_)
    centre = VIEW_RADIUS
    free = np.ones((len(seen), len(Action)), np.bool_)
    places: tuple[tuple[Action, Callable[[BoolArray], BoolArray]], ...] = (
        (Action.UP, lambda cells: cells[:, centre - 1, centre]),
        (Action.DOWN, lambda cells: cells[:, centre + 1, centre]),
        (Action.BACK, lambda cells: cells[:, centre, centre - 1]),
        (Action.AHEAD, lambda cells: cells[:, centre, centre + 1]),
    )
    for action, cell in places:
        free[:, action] = ~cell(taken)
    return free
