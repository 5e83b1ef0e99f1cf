"""One run of the model: requests on their way through it together."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from onnxd.messages import Execution, Origin
from onnxd.scheduler.item import Item


@dataclass(slots=True, eq=False)
class Search:
    """For the guilty ones among the requests of a batch that has failed."""

    runs_left: int
    """How many more it may take."""


@dataclass(slots=True, eq=False)
class Run:
    """Made when the batch is cut; ends when its requests have been answered, or have failed."""

    items: Sequence[Item]
    cut: str
    """Why the batch was cut where it was."""
    search: Search | None = None
    """None = the batch has not failed yet."""
    rows: int = 0
    began_s: float = 0.0
    """By the batcher's clock, when it was cut."""
    taken_ns: int = 0
    """time.monotonic_ns() when its inputs began to be stacked; these three are known from then on."""
    execution: Execution | None = None
    """What is told of it, from then on as well."""

    def take(self, origin: Origin, instance: int, now_s: float) -> Execution:
        """Its inputs are about to be stacked, at a time of the batcher's clock: each request is told."""
        items, start_ns = self.items, time.monotonic_ns()
        requests = len(items)
        rows = items[0].rows if requests == 1 else sum(item.rows for item in items)
        self.taken_ns, self.rows, self.began_s = start_ns, rows, now_s
        execution = self.execution = Execution(
            origin, rows, requests, self.cut, instance, self.search is not None, start_ns
        )
        ran = (execution,)
        cut = self.cut
        for item in items:
            timeline = item.request.timeline
            timeline.compute_start_ns = start_ns
            timeline.batch_rows = rows
            timeline.batch_requests = requests
            timeline.cut = cut
            timeline.executions = timeline.executions + ran if timeline.executions else ran
        return execution

    @property
    def forsaken(self) -> bool:
        """Nobody waits for any of it any more."""
        return all(item.future.done() for item in self.items)
