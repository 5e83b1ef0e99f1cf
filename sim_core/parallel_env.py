"""A match as a PettingZoo ParallelEnv, so that other people's tools play it and train in it."""

from typing import Any, Generic

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

from sim_core.arena.game import Arena
from sim_core.arrays import FloatArray
from sim_core.game import UNDECIDED, Game, StateT

ObservationsT = dict[str, FloatArray]


class GameEnv(ParallelEnv, Generic[StateT]):  # type: ignore[misc]  # PettingZoo ships no types
    """One match of a game. `reset(seed)` starts match 0 of that seed; without one, the match after the last.

    An agent's reward is what its team dealt less what it took. One that is out leaves `agents`, as PettingZoo
    has it: with `terminations` true once. The time limit truncates whoever is left.
    """

    def __init__(self, game: Game[StateT], seed: int = 0) -> None:
        self.metadata = {"name": f"onnxd_{game.name}_v1", "render_modes": [], "is_parallelizable": True}
        self.render_mode = None
        self.possible_agents = [f"team{team}_{agent}" for agent, team in enumerate(game.team_of.tolist())]
        self.agents: list[str] = []
        self._number = {name: agent for agent, name in enumerate(self.possible_agents)}
        self._game = game
        self._seed, self._match = seed, -1
        self._state = game.start(seed, np.zeros(1, np.int32))
        self._spaces = {
            name: (
                spaces.Box(-1.0, 1.0, (game.observation_size,), np.float32),
                spaces.Discrete(len(game.actions)),
            )
            for name in self.possible_agents
        }

    def observation_space(self, agent: str) -> spaces.Box:
        return self._spaces[agent][0]

    def action_space(self, agent: str) -> spaces.Discrete[Any]:
        return self._spaces[agent][1]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObservationsT, dict[str, dict[str, Any]]]:
        if seed is not None:
            self._seed, self._match = seed, -1
        self._match += 1
        self._state = self._game.start(self._seed, np.array([self._match], np.int32))
        self.agents = list(self.possible_agents)
        return self._observations(self.agents), {name: {} for name in self.agents}

    def step(
        self, actions: dict[str, int]
    ) -> tuple[ObservationsT, dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        chosen = np.zeros((1, len(self.possible_agents)), np.int32)
        for name, action in actions.items():
            chosen[0, self._number[name]] = action
        self._state, events = self._game.step(self._state, chosen)
        alive = self._game.shown(self._state).alive[0]
        winner = int(self._game.winner(self._state)[0])
        over = winner != UNDECIDED
        # A team that is gone ends the match; with both there, only the time limit can.
        beaten = {team for team in (0, 1) if not alive[self._game.team_of == team].any()}
        acted = self.agents
        rewards = {name: float(events.reward[0, self._number[name]]) for name in acted}
        terminations = {name: not alive[self._number[name]] or bool(over and beaten) for name in acted}
        truncations = {name: over and not terminations[name] for name in acted}
        self.agents = [name for name in acted if not (terminations[name] or truncations[name])]
        return self._observations(acted), rewards, terminations, truncations, {name: {} for name in acted}

    def _observations(self, names: list[str]) -> ObservationsT:
        seen = self._game.observe(self._state)[0]
        return {name: seen[self._number[name]].copy() for name in names}


def parallel_env() -> GameEnv[Any]:
    """The arena, under the name that PettingZoo's tools look for."""
    return GameEnv(Arena())
