"""Moments of the arena, for property tests: any ground, any health, anyone anywhere."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from sim_core.arena.actions import Action
from sim_core.arena.rules import AGENTS, Rules
from sim_core.arena.state import ArenaState, start_matches
from sim_core.arrays import IntArray

RULES = Rules()
MATCHES = 6


@st.composite
def moments(draw: st.DrawFn) -> tuple[ArenaState, IntArray]:
    """A state of several matches that could be, and actions. Agents stand close, so that much happens."""
    seed = draw(st.integers(0, 2**63 - 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    start = start_matches(RULES, seed, np.arange(MATCHES, dtype=np.int32))
    x, y = np.empty((2, MATCHES, AGENTS), np.int32)
    for match in range(MATCHES):
        ground = ~start.obstacles[match]
        ground[:, : draw(st.integers(0, 5))] = False
        free_y, free_x = np.nonzero(ground)
        chosen = rng.choice(min(len(free_x), draw(st.sampled_from([20, 40, 200]))), AGENTS, replace=False)
        x[match], y[match] = free_x[chosen], free_y[chosen]
    health = rng.integers(0, RULES.health + 1, x.shape)
    # Low values, full ones and zero are where the rules have corners.
    health = np.where(rng.random(x.shape) < 0.4, rng.choice([0, 1, 5, RULES.health], x.shape), health)
    state = replace(
        start,
        x=x,
        y=y,
        health=health.astype(np.int32),
        energy=rng.integers(0, RULES.energy + 1, x.shape).astype(np.int32),
        tick=rng.integers(0, RULES.ticks, MATCHES).astype(np.int32),
        pack_wait=rng.integers(0, 3, start.pack_wait.shape).astype(np.int32),
    )
    return state, rng.integers(0, len(Action), x.shape).astype(np.int32)


def mirrored(state: ArenaState) -> ArenaState:
    """The same moment from the other side: left is right, and the teams have changed places."""
    half = AGENTS // 2

    def swap(values: IntArray) -> IntArray:
        return np.concatenate([values[:, half:], values[:, :half]], axis=1)

    return ArenaState(
        tick=state.tick,
        x=RULES.width - 1 - swap(state.x),
        y=swap(state.y),
        health=swap(state.health),
        energy=swap(state.energy),
        obstacles=state.obstacles[:, :, ::-1],
        pack_x=RULES.width - 1 - state.pack_x[:, [1, 0, 3, 2]],
        pack_y=state.pack_y[:, [1, 0, 3, 2]],
        pack_wait=state.pack_wait[:, [1, 0, 3, 2]],
    )


def swapped(actions: IntArray) -> IntArray:
    """Each agent's action for who has its place in the mirror: moves are told from one's own side."""
    return np.concatenate([actions[:, AGENTS // 2 :], actions[:, : AGENTS // 2]], axis=1)
