"""When a batch is cut, and how big it is: pure decisions, no clock and no I/O.

Batch while busy: an idle instance takes what waits at once, and while all are busy requests collect; a
configured delay counts from the oldest arrival. For one device and waiting cost only, the optimal control
of a batch queue is a threshold that is small or zero (Deb and Serfozo 1973, doi:10.2307/1426040).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from annotated_types import Ge

from onnxd.messages import CutReason
from onnxd.scheduler.queue_policy import QueuePolicy, TimeoutAction
from onnxd.units import Bytes, Seconds


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How requests wait for one version of a model, and are put together."""

    max_queue_delay: Seconds = 0.0
    """How long the oldest request may be held back so that a fuller batch can form."""
    max_queue_size: Annotated[int, Ge(1)] = 1024
    """Requests that may wait, of each priority level; one more is refused at once."""
    max_queue_bytes: Bytes = 256 * 2**20
    """Payload bytes that may wait, of all levels together; -1 = no bound."""
    default_timeout: Seconds = 0.0
    """How long a request may wait when it does not say; 0 = as long as its own deadline allows."""
    allow_timeout_override: bool = True
    """A request may say how long it waits, if that is shorter; with false, default_timeout holds for all."""
    timeout_action: TimeoutAction = "reject"
    preferred_sizes: tuple[int, ...] = ()
    """Rows at which a batch is not held back any longer."""
    priority_levels: int = 0
    """0 = first come, first served."""
    default_priority: int = 0
    """The level of requests that name none; 0 = the lowest."""
    priorities: Mapping[int, QueuePolicy] = field(default_factory=dict)
    """Levels that wait in another way than what is said above for all."""
    preserve_ordering: bool = False
    """Answers leave in the order in which their requests came."""

    def levels(self) -> tuple[QueuePolicy, ...]:
        """How each level waits, the highest first: at least one."""
        usual = QueuePolicy(
            self.max_queue_size, self.default_timeout, self.timeout_action, self.allow_timeout_override
        )
        return tuple(
            self.priorities.get(level, usual) for level in range(1, max(self.priority_levels, 1) + 1)
        )


class Cut(NamedTuple):
    """Take this many requests from the head of the bucket and run them."""

    requests: int
    reason: CutReason


class Hold(NamedTuple):
    """Not yet; look again at this time (seconds, the clock of the arrivals)."""

    until_s: float


def decide(
    rows: Iterable[int],
    *,
    oldest_s: float,
    now_s: float,
    max_rows: int,
    max_delay_s: float,
    freed: bool,
    preferred: Collection[int] = (),
    start_by_s: Iterable[float] = (),
    others: bool = False,
) -> Cut | Hold:
    """What to do with one bucket's queue while an instance is free.

    `rows` are the row counts of the waiting requests in the order in which they are to run, at least one;
    `start_by_s` when each is not to be held back any longer, read only where there is a delay. `others`:
    requests of other buckets wait too. `max_rows` 0 means that the model does not batch. A request larger
    than `max_rows` never gets here (it is refused at the edge).
    """
    if max_rows == 0:
        return Cut(1, "single")
    count = total = at_preferred = 0
    full = False
    for more in rows:
        if total + more > max_rows:
            full = True
            break
        count += 1
        total += more
        if preferred and total in preferred:
            at_preferred = count
    if full or total == max_rows:
        return Cut(count, "full")
    if max_delay_s <= 0:
        return Cut(count, "shape" if others else "freed" if freed else "idle")
    due_s = oldest_s + max_delay_s
    if now_s >= due_s:
        return Cut(count, "delay")
    if at_preferred:
        return Cut(at_preferred, "preferred")
    until_s = min(start_by_s, default=due_s)
    if now_s >= until_s:
        return Cut(count, "deadline")
    return Hold(min(until_s, due_s))
