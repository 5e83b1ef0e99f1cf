"""Takes down what happens in the matches that are being played, until each is a record for the replay."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from sim_core.arrays import AnyArray, IntArray
from sim_core.game import DRAW, NO_AGENT, Events, Game, Shown
from sim_core.policies.policy import NO_REASON, REASONS, Answer
from sim_core.replays.documents import Latencies, MatchEntry
from sim_core.replays.histogram import observed
from sim_core.replays.schema import COLUMNS
from sim_core.replays.writer import MatchRecord

_NEITHER = -1
_TAKEN_DOWN = tuple(
    each.name for each in COLUMNS if each.name not in ("match", "tick", "agent", "team", "policy")
)


class Recording:
    """Room for as many matches as are played at once; each has a slot, and gives it back at its end."""

    def __init__(self, game: Game[Any], slots: int) -> None:
        self._game = game
        self._agents = len(game.team_of)
        shape = (slots, game.most_ticks + 1, self._agents)
        self._columns = {name: np.zeros(shape, np.int64) for name in _TAKEN_DOWN}
        self._reasons = np.full(shape, NO_REASON, np.int32)
        self._latency_ms = np.zeros(shape, np.float64)

    def begin(self, slots: IntArray, shown: Shown) -> None:
        """The start of new matches: tick 0."""
        for column in self._columns.values():
            column[slots] = 0
        self._reasons[slots] = NO_REASON
        for name in ("action", "target"):
            self._columns[name][slots, 0] = _NEITHER
        self._show(slots, np.zeros(len(slots), np.int32), shown)

    def tick(self, slots: IntArray, ticks: IntArray, shown: Shown, events: Events, answer: Answer) -> None:
        """What these slots' matches were asked and answered, [slots, agents] flattened, and what came of it.
        `ticks` counts from 1. Agents that were not asked have the action -1."""

        def square(values: AnyArray) -> AnyArray:
            return values.reshape(len(slots), self._agents)

        self._show(slots, ticks, shown)
        for name in ("damage_dealt", "damage_taken", "healing_given", "healing_received", "pack_health",
                     "energy_spent", "energy_gained", "reward"):  # fmt: skip
            self._columns[name][slots, ticks] = getattr(events, name)
        self._columns["target"][slots, ticks] = np.where(events.target == NO_AGENT, _NEITHER, events.target)
        self._columns["events"][slots, ticks] = events.flags
        self._columns["action"][slots, ticks] = square(answer.actions)
        self._columns["version"][slots, ticks] = square(answer.version)
        self._columns["weights"][slots, ticks] = square(answer.weights)
        self._columns["fallback"][slots, ticks] = square(answer.fallback)
        self._reasons[slots, ticks] = square(answer.reasons)
        self._latency_ms[slots, ticks] = square(answer.latency_ms)

    def finish(
        self, slot: int, match: int, ticks: int, winner: int, policies: Sequence[int], board: list[str]
    ) -> MatchRecord:
        """The record of a match that is over, of which `ticks` were played."""
        kept = slice(0, ticks + 1)
        team = np.broadcast_to(self._game.team_of, (ticks + 1, self._agents))
        columns: dict[str, AnyArray] = {name: each[slot, kept] for name, each in self._columns.items()}
        columns |= {
            "match": np.full((ticks + 1, self._agents), match),
            "tick": np.repeat(np.arange(ticks + 1)[:, None], self._agents, axis=1),
            "agent": np.tile(np.arange(self._agents), (ticks + 1, 1)),
            "team": team,
            "policy": np.array(policies)[team],
        }
        decided = columns["action"] != _NEITHER
        reasons = self._reasons[slot, kept]
        first, second = (decided & (team == side) for side in (0, 1))
        entry = MatchEntry(
            match=match,
            policies=(policies[0], policies[1]),
            winner=None if winner == DRAW else winner,
            ticks=ticks,
            decisions=(int(first.sum()), int(second.sum())),
            fallbacks=(_counted(reasons[first]), _counted(reasons[second])),
            board=board,
        )
        return MatchRecord(
            entry,
            # Copies: the slot is used again.
            {name: np.array(each).reshape(-1) for name, each in columns.items()},
            self._latencies(slot, kept, decided, columns["policy"]),
        )

    def _latencies(self, slot: int, kept: slice, decided: AnyArray, policy: AnyArray) -> dict[int, Latencies]:
        latency_ms = self._latency_ms[slot, kept]
        return {
            int(each): observed(latency_ms[decided & (policy == each)].tolist()) for each in np.unique(policy)
        }

    def _show(self, slots: IntArray, ticks: IntArray, shown: Shown) -> None:
        for name in ("x", "y", "health", "energy", "alive"):
            self._columns[name][slots, ticks] = getattr(shown, name)


def _counted(reasons: AnyArray) -> dict[Any, int]:
    counts = Counter(reasons[reasons != NO_REASON].tolist())
    return {REASONS[reason]: count for reason, count in sorted(counts.items())}
