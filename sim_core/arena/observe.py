"""What an agent sees, as FP32, told from its own side: team 1 sees the arena in a mirror.

Every value is a whole number of 64ths between -1 and 1, which FP32 holds exactly.
"""

import numpy as np

from sim_core.arena.rules import AGENTS, TEAM_SIZE, VIEW_RADIUS, Rules
from sim_core.arena.state import ArenaState
from sim_core.arena.step import TEAM_OF
from sim_core.arrays import BoolArray, FloatArray, IntArray, TinyArray

PLANES = ("blocked", "ally", "enemy", "health pack", "energy pack")
"""Of the view around the agent; allies and enemies by their share of health."""
SIDE = 2 * VIEW_RADIUS + 1
SELF = (
    "one", "health", "energy", "time left", "allies left", "enemies left", "column", "row",
    "enemy known", "enemy ahead", "enemy below", "enemy within reach", "enemy health",
    "ally ahead", "ally below", "weakest ally within reach misses",
    "health pack ahead", "health pack below", "health pack known",
    "energy pack ahead", "energy pack below", "energy pack known",
    "enemy straight ahead", "enemy straight behind", "enemy higher", "enemy lower",
    "allies near enemy",
)  # fmt: skip
"""Of the agent itself. `ahead` and `below` are distances in 16ths to the nearest of a kind."""
OBSERVATION_SIZE = len(PLANES) * SIDE * SIDE + len(SELF)

_COMPANY = 3
"""Cells around an enemy in which allies count as near it."""
_FAR = np.iinfo(np.int32).max // 2
_PACK_PLANE = np.array([3, 3, 4, 4])
_MIRRORED = TEAM_OF == 1
_SAME_TEAM: BoolArray = TEAM_OF[:, None] == TEAM_OF[None, :]
_OTHERS: BoolArray = ~np.eye(AGENTS, dtype=np.bool_)


def observe_matches(rules: Rules, state: ArenaState) -> FloatArray:
    """[matches, agents, OBSERVATION_SIZE]: the view row by row and cell by cell, each cell with its PLANES,
    then SELF. An agent that is out sees zeros."""
    view = _views(rules, state).reshape(len(state.tick), AGENTS, -1)
    seen = np.concatenate([view, _selves(rules, state)], axis=2)
    return np.asarray(seen * (state.alive / np.float32(64))[:, :, None], np.float32)


def _views(rules: Rules, state: ArenaState) -> TinyArray:
    """In 64ths, [matches, agents, cells of the view, planes]."""
    count, margin = len(state.tick), VIEW_RADIUS
    width, height = rules.width + 2 * margin, rules.height + 2 * margin
    # Last of the axes: blocked, team 0, team 1, health packs, energy packs.
    board = np.zeros((count, height, width, len(PLANES)), np.int8)
    board[..., 0] = 64
    board[:, margin:-margin, margin:-margin, 0] = state.obstacles * np.int8(64)
    rows = np.arange(count)[:, None]
    there = (state.pack_wait == 0) * 64
    board[rows, state.pack_y + margin, state.pack_x + margin, _PACK_PLANE] = there
    health = state.health * 64 // rules.health
    # Added, not put: one who is out may lie where another stands.
    np.add.at(board, (rows, state.y + margin, state.x + margin, 1 + TEAM_OF), health.astype(np.int8))

    ahead = np.where(_MIRRORED, -1, 1)[:, None, None]
    offsets = np.arange(SIDE)
    y = state.y[:, :, None, None] + offsets[None, None, :, None]
    x = state.x[:, :, None, None] + margin + ahead * (offsets - margin)[None, None, None, :]
    places = ((rows[:, :, None, None] * height + y) * width + x).reshape(count, AGENTS, -1)
    view: TinyArray = board.reshape(-1, len(PLANES))[places]
    view[:, _MIRRORED, :, 1:3] = view[:, _MIRRORED, :, 2:0:-1]
    return view


def _selves(rules: Rules, state: ArenaState) -> TinyArray:
    """In 64ths, [matches, agents, len(SELF)]."""
    ahead = np.where(_MIRRORED, -1, 1).astype(np.int32)
    alive = state.alive
    dx = (state.x[:, None, :] - state.x[:, :, None]) * ahead[:, None]
    dy = state.y[:, None, :] - state.y[:, :, None]
    steps = abs(dx) + abs(dy)
    enemy, enemy_known = _nearest(steps, ~_SAME_TEAM & alive[:, None, :])
    ally, ally_known = _nearest(steps, _SAME_TEAM & _OTHERS & alive[:, None, :])
    enemy_dx, enemy_dy = _picked(dx, enemy, enemy_known), _picked(dy, enemy, enemy_known)
    distance = np.maximum(abs(dx), abs(dy))
    within = ((distance <= rules.reach) & ~_SAME_TEAM & alive[:, None, :]).any(axis=2)
    near = (distance <= rules.heal_reach) & _SAME_TEAM & alive[:, None, :]
    missing = np.where(near, (rules.health - state.health)[:, None, :], 0).max(axis=2)
    everyone = np.broadcast_to(state.health[:, None, :], dx.shape)
    company = _company(state, distance, enemy) * enemy_known
    left = np.stack([alive[:, team == TEAM_OF].sum(axis=1) for team in (0, 1)], axis=1)
    column = np.where(_MIRRORED, rules.width - 1 - state.x, state.x)
    time_left = ((rules.ticks - state.tick) * 64 // rules.ticks)[:, None] + np.zeros_like(state.x)
    pack_values = [value for kind in (0, 2) for value in _pack_compass(state, ahead, slice(kind, kind + 2))]
    values = [
        np.full_like(state.x, 64),
        state.health * 64 // rules.health,
        state.energy * 64 // rules.energy,
        time_left,
        left[:, TEAM_OF] * (64 // TEAM_SIZE),
        left[:, 1 - TEAM_OF] * (64 // TEAM_SIZE),
        column * 4,
        state.y * 4,
        enemy_known * 64,
        enemy_dx * 4,
        enemy_dy * 4,
        within * 64,
        _picked(everyone, enemy, enemy_known) * 64 // rules.health,
        _picked(dx, ally, ally_known) * 4,
        _picked(dy, ally, ally_known) * 4,
        missing * 64 // rules.health,
        *pack_values,
        (enemy_dx > 0) * 64,
        (enemy_dx < 0) * 64,
        (enemy_dy < 0) * 64,
        (enemy_dy > 0) * 64,
        company * (64 // TEAM_SIZE),
    ]
    return np.asarray(np.clip(np.stack(values, axis=2), -64, 64), np.int8)


def _company(state: ArenaState, distance: IntArray, enemy: IntArray) -> IntArray:
    """How many of the agent's team stand near the enemy that is nearest to it."""
    # [matches, agents, others]: the distance of each other one from the agent's nearest enemy.
    from_enemy = np.take_along_axis(distance, enemy[:, :, None].repeat(AGENTS, axis=2), 1)
    near = (from_enemy <= _COMPANY) & _SAME_TEAM & state.alive[:, None, :]
    return np.asarray(near.sum(axis=2), np.int32)


def _nearest(steps: IntArray, possible: BoolArray) -> tuple[IntArray, BoolArray]:
    """The nearest possible one of each agent, by slot where several are, and whether there is any."""
    ranked = np.where(possible, steps, _FAR)
    return ranked.argmin(axis=2).astype(np.int32), ranked.min(axis=2) < _FAR


def _picked(values: IntArray, which: IntArray, known: BoolArray) -> IntArray:
    return np.asarray(np.take_along_axis(values, which[:, :, None], 2)[:, :, 0] * known, np.int32)


def _pack_compass(state: ArenaState, ahead: IntArray, kind: slice) -> tuple[IntArray, IntArray, IntArray]:
    """Ahead, below, and whether one is there: of the nearest pack of a kind."""
    dx = (state.pack_x[:, None, kind] - state.x[:, :, None]) * ahead[:, None]
    dy = state.pack_y[:, None, kind] - state.y[:, :, None]
    # Of two that are equally near, the one that is further ahead: a mirror leaves that as it is.
    steps = ((abs(dx) + abs(dy)) * 64 - dx).astype(np.int32)
    possible = np.broadcast_to((state.pack_wait[:, kind] == 0)[:, None, :], dx.shape)
    which, known = _nearest(steps, possible)
    values = (_picked(dx, which, known) * 4, _picked(dy, which, known) * 4, known * np.int32(64))
    return values[0], values[1], values[2].astype(np.int32)
