"""Iterated rock-paper-scissors: what came before the arena. Kept so that its models play and its replays are
read; new work uses the arena.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sim_core.arrays import FloatArray, IntArray
from sim_core.game import DRAW, NO_AGENT, UNDECIDED, Arrays, Events, Shown

ROUNDS: Final = 40
LIVES: Final = 12
REMEMBERED: Final = 3
"""Rounds that a player sees, its own moves and the other's."""
MOVES: Final = 3
_NOT_YET: Final = -1


class LegacyGameWarning(FutureWarning):
    """Rock-paper-scissors is still played, and nothing will be added to it."""


@dataclass(frozen=True, slots=True)
class RpsState(Arrays):
    """Two players, a team each."""

    tick: IntArray
    """[matches]"""
    health: IntArray
    """[matches, 2]: lives; a round that is lost costs one."""
    moves: IntArray
    """[matches, 2, REMEMBERED]: the latest first; -1 = not yet."""


class RockPaperScissors:
    """Obeys sim_core.game.Game[RpsState]."""

    name = "rps"
    actions: tuple[str, ...] = ("rock", "paper", "scissors")
    events: tuple[str, ...] = ("won", "lost", "tied")
    team_of: IntArray = np.array([0, 1], np.int32)
    observation_size = 2 * REMEMBERED * MOVES + 4
    most_ticks = ROUNDS
    width, height = 2, 1

    def __init__(self) -> None:
        warnings.warn(
            "rock-paper-scissors is legacy, kept for its models and replays: use the arena for new work",
            LegacyGameWarning,
            stacklevel=2,
        )

    def describe(self) -> Mapping[str, Any]:
        return {"version": 1, "rounds": ROUNDS, "lives": LIVES, "remembered": REMEMBERED}

    def start(self, seed: int, matches: IntArray) -> RpsState:
        """All matches begin alike: what differs are the players."""
        count = len(matches)
        return RpsState(
            tick=np.zeros(count, np.int32),
            health=np.full((count, 2), LIVES, np.int32),
            moves=np.full((count, 2, REMEMBERED), _NOT_YET, np.int32),
        )

    def observe(self, state: RpsState) -> FloatArray:
        """[matches, 2, observation_size]: one, lives, the other's lives, rounds left; then the remembered
        moves as one of three each, first its own, the latest first."""
        one_hot = (state.moves[..., None] == np.arange(MOVES)).reshape(len(state.tick), 2, -1)
        left = ((ROUNDS - state.tick) * 64 // ROUNDS)[:, None] + np.zeros_like(state.health)
        lives = state.health * 64 // LIVES
        own = np.stack([np.full_like(lives, 64), lives, lives[:, ::-1], left], axis=2)
        seen = np.concatenate([own, one_hot * 64, one_hot[:, ::-1] * 64], axis=2)
        return np.asarray(seen / np.float32(64), np.float32)

    def step(self, state: RpsState, actions: IntArray) -> tuple[RpsState, Events]:
        running = (self.winner(state) == UNDECIDED)[:, None]
        # 1 = the player's move beats the other's, 2 = it is beaten.
        result = np.where(running, (actions - actions[:, ::-1]) % MOVES, 0)
        won, lost = (result == 1).astype(np.int32), (result == 2).astype(np.int32)
        none = np.zeros_like(won)
        events = Events(
            target=np.where(won > 0, np.array([[1, 0]]), NO_AGENT).astype(np.int32),
            damage_dealt=won,
            damage_taken=lost,
            healing_given=none,
            healing_received=none,
            pack_health=none,
            energy_spent=none,
            energy_gained=none,
            flags=np.where(running, np.where(result == 0, 4, result), 0).astype(np.int32),
            reward=won - lost,
        )
        remembered = np.concatenate([actions[:, :, None], state.moves[:, :, :-1]], axis=2)
        after = RpsState(
            tick=(state.tick + running[:, 0]).astype(np.int32),
            health=state.health - lost,
            moves=np.where(running[:, :, None], remembered, state.moves).astype(np.int32),
        )
        return after, events

    def shown(self, state: RpsState) -> Shown:
        zeros = np.zeros_like(state.health)
        return Shown(zeros + np.array([0, 1], np.int32), zeros, state.health, zeros, state.health > 0)

    def winner(self, state: RpsState) -> IntArray:
        """Who has lives left when the other has not; after the last round, who has more."""
        first, second = state.health.T
        over = (state.health == 0).any(axis=1) | (state.tick >= ROUNDS)
        ahead = np.where(first > second, 0, np.where(second > first, 1, DRAW))
        return np.where(over, ahead, UNDECIDED).astype(np.int32)

    def board(self, state: RpsState) -> list[list[str]]:
        return [["." * self.width] * self.height for _ in state.tick]


def rps_script(observations: FloatArray) -> IntArray:
    """What beats the other's latest move; rock at first."""
    begin = 4 + REMEMBERED * MOVES
    latest = observations[:, begin : begin + MOVES]
    known = latest.max(axis=1) > 0
    return np.asarray(np.where(known, (latest.argmax(axis=1) + 1) % MOVES, 0), np.int32)
