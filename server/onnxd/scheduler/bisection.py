"""Finding the guilty request of a batch that has failed, so that its neighbours are answered.

The requests are run again in two halves, and those of a half that fails again in two, until a request that
fails is alone. The parts are run in the order in which they were made: the biggest ones, with the most
innocent requests, first. One guilty request of n costs at most 2*log2(n) runs more.
"""

import math
from collections import deque
from typing import Final

from onnxd.errors import ExecutionFailed, TensorMismatch
from onnxd.scheduler.item import Item
from onnxd.scheduler.run import Run, Search

GUILTY: Final = 3
"""How many guilty requests of one batch are found for sure. With more of them the fault is hardly theirs, and
running what is left one by one would only make everybody else wait."""

BISECTED: Final = frozenset({ExecutionFailed, TensorMismatch})
"""The failures that may be one request's fault: the run raised, or its outputs do not fit the rows. Not their
subclasses, and nothing else, such as a lack of memory or a bug of ours: a kind of failure that is better not
repeated is not bisected until it is named here."""


def worth_bisecting(error: Exception) -> bool:
    """Whether running the requests of a failed batch again may tell whose fault it was."""
    return type(error) in BISECTED


def most_runs(requests: int) -> int:
    """How many more runs a batch of that many requests may cost after it has failed."""
    return GUILTY * 2 * math.ceil(math.log2(requests)) if requests > 1 else 0


class Bisection:
    """The parts of failed batches that wait to be run again, oldest first."""

    def __init__(self) -> None:
        self.parts: deque[Run] = deque()
        """Not to be changed from without."""

    @property
    def requests(self) -> int:
        return sum(len(part.items) for part in self.parts)

    def waiting(self, level: int) -> tuple[int, int]:
        """How many requests of a level wait here, and the bytes of all."""
        items = [item for part in self.parts for item in part.items]
        return sum(item.level == level for item in items), sum(item.request.byte_size for item in items)

    def divide(self, run: Run) -> bool:
        """Have the requests of a failed run that somebody waits for run again, in parts.

        False if there is nothing left to find out, or its search has cost enough; they have failed, then.
        """
        if len(run.items) == 1:
            return False
        search = run.search or Search(most_runs(len(run.items)))
        items = [item for item in run.items if not item.future.done()]
        middle = (len(items) + 1) // 2
        parts = [part for part in (items[:middle], items[middle:]) if part]
        if not parts or search.runs_left < len(parts):
            return False
        search.runs_left -= len(parts)
        self.parts.extend(Run(part, run.cut, search) for part in parts)
        return True

    def next(self) -> Run | None:
        """The next part to run, without the requests that nobody waits for any more."""
        while self.parts:
            part = self.parts.popleft()
            if items := [item for item in part.items if not item.future.done()]:
                return Run(items, part.cut, part.search)
        return None

    def take_all(self) -> list[Item]:
        """Give up: the requests that wait, which the caller ends."""
        items = [item for part in self.parts for item in part.items]
        self.parts.clear()
        return items
