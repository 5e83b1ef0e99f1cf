"""A moment of many matches."""

from dataclasses import dataclass

import numpy as np

from sim_core.arena.ground import PACKS, draw_ground, start_places
from sim_core.arena.rules import AGENTS, Rules
from sim_core.arrays import BoolArray, IntArray
from sim_core.game import Arrays


@dataclass(frozen=True, slots=True)
class ArenaState(Arrays):
    """Never changed in place. Agents 0 to 3 are team 0, which starts on the left; 4 to 7 are team 1."""

    tick: IntArray
    """[matches]: ticks played."""
    x: IntArray
    y: IntArray
    health: IntArray
    """[matches, agents], as x, y and energy; 0 = out, and its place is where it fell."""
    energy: IntArray
    obstacles: BoolArray
    """[matches, height, width]"""
    pack_x: IntArray
    pack_y: IntArray
    pack_wait: IntArray
    """[matches, PACKS]: ticks until the pack is there; 0 = it is."""

    @property
    def alive(self) -> BoolArray:
        alive: BoolArray = self.health > 0
        return alive


def start_matches(rules: Rules, seed: int, matches: IntArray) -> ArenaState:
    """Before the first tick."""
    count = len(matches)
    x, y = (np.tile(place, (count, 1)) for place in start_places(rules))
    ground = draw_ground(rules, seed, matches)
    return ArenaState(
        tick=np.zeros(count, np.int32),
        x=x,
        y=y,
        health=np.full((count, AGENTS), rules.health, np.int32),
        energy=np.full((count, AGENTS), rules.energy, np.int32),
        obstacles=ground.obstacles,
        pack_x=ground.pack_x,
        pack_y=ground.pack_y,
        pack_wait=np.zeros((count, PACKS), np.int32),
    )
