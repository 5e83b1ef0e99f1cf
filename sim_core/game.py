"""What a game is to whatever plays it: many matches at once, as arrays [matches, agents].

A match's course is a function of its start, which (seed, match) decides, and of the actions. It does not
depend on the matches beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self, TypeVar

from sim_core.arrays import AnyArray, BoolArray, FloatArray, IntArray

NO_AGENT = -1
DRAW = -1
UNDECIDED = -2


class Arrays:
    """A frozen dataclass all of whose fields are arrays with the matches along the first axis."""

    def take(self, rows: AnyArray | slice) -> Self:
        """The matches at these places, or under this mask."""
        return type(self)(**{name: array[rows] for name, array in self._arrays().items()})

    def put(self, rows: AnyArray, other: Self) -> Self:
        """The same with other matches in these places."""
        columns = {name: array.copy() for name, array in self._arrays().items()}
        for name, array in other._arrays().items():
            columns[name][rows] = array
        return type(self)(**columns)

    def _arrays(self) -> dict[str, AnyArray]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Shown(Arrays):
    """What a replay keeps of the state at the end of a tick, [matches, agents] each."""

    x: IntArray
    y: IntArray
    health: IntArray
    energy: IntArray
    alive: BoolArray


@dataclass(frozen=True, slots=True)
class Events(Arrays):
    """What a tick did to each agent, [matches, agents] each: the ledger of health and energy.

    health after = before - damage_taken + healing_received + pack_health, and
    energy after = before - energy_spent + energy_gained. In each match the sums of damage dealt and taken
    are equal, and those of healing given and received.
    """

    target: IntArray
    """Whom the action reached; NO_AGENT = nobody."""
    damage_dealt: IntArray
    damage_taken: IntArray
    healing_given: IntArray
    healing_received: IntArray
    pack_health: IntArray
    energy_spent: IntArray
    energy_gained: IntArray
    flags: IntArray
    """Bits, named by the game's `events`."""
    reward: IntArray
    """Damage dealt less damage taken, by the agent's whole team and the other; of use to trainers."""


StateT = TypeVar("StateT", bound=Arrays)


class Game(Protocol[StateT]):
    """The rules of a game. Pure: nothing is changed in place, nothing is remembered."""

    name: str
    actions: tuple[str, ...]
    """By their numbers."""
    events: tuple[str, ...]
    """The bits of `Events.flags`, the lowest first."""
    team_of: IntArray
    """The team, 0 or 1, of each of a match's agents."""
    observation_size: int
    width: int
    height: int
    most_ticks: int
    """No match is longer."""

    def describe(self) -> Mapping[str, Any]:
        """Everything that two replays must have in common to be compared, as plain JSON values."""
        ...

    def start(self, seed: int, matches: IntArray) -> StateT:
        """These matches of a seed, before their first tick."""
        ...

    def observe(self, state: StateT) -> FloatArray:
        """What each agent sees, [matches, agents, observation_size]."""
        ...

    def step(self, state: StateT, actions: IntArray) -> tuple[StateT, Events]:
        """One tick. Actions of agents that are out, and any of matches that are over, change nothing."""
        ...

    def shown(self, state: StateT) -> Shown: ...

    def winner(self, state: StateT) -> IntArray:
        """Of each match: the team, DRAW, or UNDECIDED while it goes on."""
        ...

    def board(self, state: StateT) -> list[list[str]]:
        """Of each match the ground that does not change, as lines of text: '#' stands for an obstacle."""
        ...
