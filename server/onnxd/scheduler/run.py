"""One run of the model: requests on their way through it together."""

from collections.abc import Sequence
from dataclasses import dataclass

from onnxd.messages import Execution
from onnxd.scheduler.queue import Item


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

    @property
    def forsaken(self) -> bool:
        """Nobody waits for any of it any more."""
        return all(item.future.done() for item in self.items)
