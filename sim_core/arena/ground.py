"""The ground of a match: obstacles and packs, drawn for the left half and mirrored to the right."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from sim_core.arena.rules import TEAM_SIZE, Rules
from sim_core.arrays import BoolArray, IntArray
from sim_core.random_words import Purpose, random_rows

PACKS = 4
"""Health left and right, then energy left and right."""


@dataclass(frozen=True, slots=True)
class Ground:
    """[matches, height, width] obstacles, and the places [matches, PACKS] of the packs."""

    obstacles: BoolArray
    pack_x: IntArray
    pack_y: IntArray


def start_places(rules: Rules) -> tuple[IntArray, IntArray]:
    """x and y of the agents, first those of team 0: a column each, at its own edge."""
    y = (np.arange(TEAM_SIZE, dtype=np.int32) * 2 + 1) * rules.height // (2 * TEAM_SIZE)
    left = np.zeros(TEAM_SIZE, np.int32)
    return np.concatenate([left, left + rules.width - 1]), np.concatenate([y, y])


def draw_ground(rules: Rules, seed: int, matches: IntArray) -> Ground:
    """No obstacle touches another one or the edge, not even by a corner, so every free cell can be reached.
    Start places are at the edge."""
    x, y, near = _candidates(rules)
    cells = len(x)
    words = random_rows(seed, matches, Purpose.GROUND, 2 * cells)
    rows = np.arange(len(matches))
    chosen = np.zeros((len(matches), cells), np.bool_)
    barred = np.zeros((len(matches), cells), np.bool_)
    # Each word decides a cell's turn; the stable order of equal words is the same everywhere.
    for cell in np.argsort(words[:, :cells], axis=1, kind="stable").T:
        takes = ~barred[rows, cell] & (chosen.sum(axis=1) < rules.obstacles)
        chosen[rows, cell] = takes
        barred |= near[cell] & takes[:, None]

    obstacles = np.zeros((len(matches), rules.height, rules.width), np.bool_)
    obstacles[:, y, x] = chosen
    obstacles |= obstacles[:, :, ::-1]

    middle = rules.width // 2
    turn = np.where(chosen | (x >= middle), np.iinfo(np.uint64).max, words[:, cells:])
    health, energy = np.argsort(turn, axis=1, kind="stable")[:, :2].T
    pack_x = np.stack(
        [x[health], rules.width - 1 - x[health], x[energy], rules.width - 1 - x[energy]], axis=1
    )
    pack_y = np.stack([y[health], y[health], y[energy], y[energy]], axis=1)
    return Ground(obstacles, pack_x.astype(np.int32), pack_y.astype(np.int32))


@cache
def _candidates(rules: Rules) -> tuple[IntArray, IntArray, BoolArray]:
    """The cells of the left half and the middle that an obstacle may take, and which bar which.

    The width is odd, so the column before the middle does not touch its own mirror image.
    """
    y, x = np.mgrid[1 : rules.height - 1, 2 : rules.width // 2 + 1].reshape(2, -1).astype(np.int32)
    dx = np.minimum(abs(x[:, None] - x), abs(x[:, None] - (rules.width - 1 - x)))
    near = (dx <= 1) & (abs(y[:, None] - y) <= 1)
    return x, y, near
