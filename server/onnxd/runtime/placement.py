"""Where a run happens: on the loop's thread or on one of its own.

A hop to another thread and back costs 100-200 µs on an idle loop, and a run on the loop holds up every other
request for as long as it takes. So short runs stay on the loop and long ones leave it.
"""

import enum
from dataclasses import dataclass
from typing import Final

INLINE_BELOW_S: Final = 75e-6
"""A model on its thread comes back to the loop when its mean run is shorter than this."""
THREAD_ABOVE_S: Final = 125e-6
"""A model on the loop leaves it when its mean run is longer than this."""

_WEIGHT: Final = 1 / 16
_MOST_TIMES_MEAN: Final = 8.0


class Placement(enum.Enum):
    INLINE = "inline"
    THREAD = "thread"
    PROCESS = "process"
    """Another process: isolation's choice, never this rule's."""


def placement(mean_run_s: float | None, current: Placement) -> Placement:
    """The rule: a threshold about 100 µs, with a gap so that a model near it does not flit to and fro.

    None = nothing is known yet: the loop must not find out by being blocked.
    """
    if mean_run_s is None:
        return Placement.THREAD
    if current is Placement.INLINE:
        return Placement.THREAD if mean_run_s > THREAD_ABOVE_S else Placement.INLINE
    return Placement.INLINE if mean_run_s < INLINE_BELOW_S else Placement.THREAD


@dataclass(slots=True)
class RunTimes:
    """The moving mean of how long a model runs, in seconds. Not thread-safe."""

    mean_s: float | None = None

    def add(self, seconds: float) -> None:
        """One more run. Counts as at most eight times the mean: one stall says nothing of the model, while
        runs that have really become longer still pull the mean up within a few."""
        if self.mean_s is None:
            self.mean_s = seconds
        else:
            self.mean_s += _WEIGHT * (min(seconds, _MOST_TIMES_MEAN * self.mean_s) - self.mean_s)
