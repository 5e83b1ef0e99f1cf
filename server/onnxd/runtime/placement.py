"""Where a run happens: on the loop's thread or on one of its own.

A run on the loop holds up every other request for as long as it takes; one on a thread needs two hops, and
then has to wait for the interpreter, which the loop gives up only when it polls, or after 5 ms. Measured, a
thread costs more than it gives back until a run takes about half a millisecond (docs/performance.md). So
short runs stay on the loop and long ones leave it. Which a run will be is known from those of its size.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from onnxd.tensors import Array

INLINE_BELOW_S: Final = 200e-6
"""Runs of a size that have been on the thread come back to the loop when their mean is shorter than this."""
THREAD_ABOVE_S: Final = 300e-6
"""Runs of a size that have been on the loop leave it when their mean is longer than this."""

_WEIGHT: Final = 1 / 16
_MOST_TIMES_MEAN: Final = 8.0


class Placement(enum.Enum):
    INLINE = "inline"
    THREAD = "thread"
    PROCESS = "process"
    """Another process: isolation's choice, never this rule's."""


def placement(expected_s: float | None, current: Placement) -> Placement:
    """The rule: a threshold, with a gap so that runs near it do not flit to and fro.

    None = nothing is known yet: the loop must not find out by being blocked.
    """
    if expected_s is None:
        return Placement.THREAD
    if current is Placement.INLINE:
        return Placement.THREAD if expected_s > THREAD_ABOVE_S else Placement.INLINE
    return Placement.INLINE if expected_s < INLINE_BELOW_S else Placement.THREAD


def moved(mean_s: float, seconds: float) -> float:
    """The moving mean after one more run. It counts as at most eight times the mean: one stall says nothing
    of the model, while runs that have really become longer still pull the mean up within a few."""
    most_s = _MOST_TIMES_MEAN * mean_s
    return mean_s + _WEIGHT * ((seconds if seconds < most_s else most_s) - mean_s)


def size_of(inputs: Mapping[str, Array]) -> int:
    """Of a run: the power of two that its inputs' bytes are below."""
    total = 0
    for array in inputs.values():
        total += array.nbytes
    return total.bit_length()


@dataclass(slots=True)
class _Runs:
    """Those of one size."""

    mean_s: float
    where: Placement


class Placements:
    """Where the runs of one instance happen, by their size. Not thread-safe.

    Rows and dynamic axes both show in the bytes of the inputs, so that one row of a model may run on the loop
    and a full batch of it on the thread. Time is what a run needs of a processor, not from its start to its
    end: on a thread that has the wait for the interpreter in it, and would keep a short run there for ever.
    (The scheduler's service times are the latter, and answer another question: when will it be back?)
    """

    def __init__(self, expected_run_s: float | None = None, forced: Placement | None = None) -> None:
        """`expected_run_s`: of the longest run, as a trial has shown. `forced` switches the rule off."""
        self.newest = forced or placement(expected_run_s, Placement.INLINE)
        """Where a run was sent last."""
        self.mean_s: float | None = None
        """Of the size that ran last."""
        self._expected_s = expected_run_s
        self._forced = forced
        self._sizes: dict[int, _Runs] = {}

    def where(self, size: int) -> Placement:
        """The next run is of this size: where it happens."""
        known = self._sizes.get(size)
        if known is not None:
            self.newest = known.where
        elif self._forced is None:
            self.newest = placement(self._guess_s(size), Placement.INLINE)
        return self.newest

    def ran(self, size: int, seconds: float) -> None:
        """A run has ended well, and needed so long."""
        known = self._sizes.get(size)
        if known is None:
            guess_s = self._guess_s(size)
            # The first of a size may be slow for once, but it is not fast by chance.
            if guess_s is None or seconds < guess_s:
                guess_s = seconds
            known = self._sizes[size] = _Runs(guess_s, self._forced or placement(guess_s, self.newest))
        known.mean_s = self.mean_s = mean_s = moved(known.mean_s, seconds)
        if self._forced is None:
            known.where = placement(mean_s, known.where)

    def _guess_s(self, size: int) -> float | None:
        """Of a size that has not run yet: no more than the next larger that has; else as many times as long
        as the next smaller one as it is larger."""
        above = min((known for known in self._sizes if known > size), default=None)
        if above is not None:
            return self._sizes[above].mean_s
        below = max(self._sizes, default=None)
        if below is None:
            return self._expected_s
        return self._sizes[below].mean_s * (1 << (size - below))
