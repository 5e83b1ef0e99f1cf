"""The arena as a Game."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim_core.arena.actions import Action, Event
from sim_core.arena.observe import OBSERVATION_SIZE, observe_matches
from sim_core.arena.rules import Rules
from sim_core.arena.state import ArenaState, start_matches
from sim_core.arena.step import TEAM_OF, step_matches
from sim_core.arrays import FloatArray, IntArray
from sim_core.game import DRAW, UNDECIDED, Events, Shown


class Arena:
    """Two teams of four; docs/arena.md tells the rules. Obeys sim_core.game.Game[ArenaState]."""

    name = "arena"
    actions = tuple(action.name.lower() for action in Action)
    events = tuple(str(event.name).lower() for event in Event)
    team_of = TEAM_OF
    observation_size = OBSERVATION_SIZE

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.most_ticks = self.rules.ticks
        self.width, self.height = self.rules.width, self.rules.height

    def describe(self) -> Mapping[str, Any]:
        return self.rules.describe()

    def start(self, seed: int, matches: IntArray) -> ArenaState:
        return start_matches(self.rules, seed, matches)

    def observe(self, state: ArenaState) -> FloatArray:
        return observe_matches(self.rules, state)

    def step(self, state: ArenaState, actions: IntArray) -> tuple[ArenaState, Events]:
        return step_matches(self.rules, state, actions, self.winner(state) == UNDECIDED)

    def shown(self, state: ArenaState) -> Shown:
        return Shown(state.x, state.y, state.health, state.energy, state.alive)

    def winner(self, state: ArenaState) -> IntArray:
        """Who has someone left when the other has not; at the time limit, who has more health left."""
        health = np.stack([state.health[:, team == TEAM_OF].sum(axis=1) for team in (0, 1)], axis=1)
        over = (health == 0).any(axis=1) | (state.tick >= self.rules.ticks)
        ahead = np.where(health[:, 0] > health[:, 1], 0, np.where(health[:, 1] > health[:, 0], 1, DRAW))
        return np.where(over, ahead, UNDECIDED).astype(np.int32)

    def board(self, state: ArenaState) -> list[list[str]]:
        return [
            ["".join("#" if cell else "." for cell in row) for row in ground] for ground in state.obstacles
        ]
