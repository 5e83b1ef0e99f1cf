"""A cap on batches for what a line cannot tell: a memory cliff, a throttled device. Pure.

Additive increase, multiplicative decrease (Chiu and Jain 1989): it finds the edge and keeps feeling for it.
It moves only for a run that failed for want of memory, and for one that took too long where run times follow
no line; while they do, the line says more than trial and error.
"""

from dataclasses import dataclass, replace
from typing import Final

_WELL_TO_GROW: Final = 4
"""Full batches that must go well before one more row is tried."""
_AFTER_A_MISS: Final = 0.9


@dataclass(frozen=True, slots=True)
class CapGuard:
    """The cap, and how many full batches went well since it last changed."""

    rows: int
    well: int = 0


def after_run(guard: CapGuard, rows: int, *, well: bool, max_rows: int) -> CapGuard:
    """`rows` ran together. What is smaller than the cap says nothing of it, unless it failed."""
    if not well:
        return CapGuard(max(1, int(min(rows, guard.rows) * _AFTER_A_MISS)))
    if rows < guard.rows:
        return guard
    if guard.well + 1 < _WELL_TO_GROW:
        return replace(guard, well=guard.well + 1)
    return CapGuard(min(max_rows, guard.rows + 1))
