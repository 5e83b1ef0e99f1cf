"""The numbers of the arena. docs/arena.md tells the rules in words."""

from dataclasses import asdict, dataclass
from typing import Any

RULES_VERSION = 1
TEAM_SIZE = 4
AGENTS = 2 * TEAM_SIZE
VIEW_RADIUS = 2


@dataclass(frozen=True, slots=True)
class Rules:
    """Energy and health are whole numbers."""

    width: int = 13
    """Odd: the middle column is its own mirror image."""
    height: int = 9
    obstacles: int = 5
    """In the left half with the middle column; the right half mirrors the left."""
    ticks: int = 100
    health: int = 64
    energy: int = 32
    reach: int = 2
    """Of an attack, counted as a king moves in chess."""
    heal_reach: int = 1
    damage: int = 12
    defended_damage: int = 4
    healing: int = 8
    move_cost: int = 1
    attack_cost: int = 4
    defend_cost: int = 1
    heal_cost: int = 6
    recovery: int = 1
    """Energy that each living agent gains in each tick."""
    rest: int = 3
    """Energy that waiting gains on top."""
    health_pack: int = 16
    energy_pack: int = 16
    pack_ticks: int = 25
    """Until a pack that was taken is there again."""

    def describe(self) -> dict[str, Any]:
        return {"version": RULES_VERSION, "team_size": TEAM_SIZE, "view_radius": VIEW_RADIUS, **asdict(self)}
