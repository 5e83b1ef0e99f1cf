"""When a batch is cut, and how big it is: pure decisions, no clock and no I/O.

Batch while busy: an idle instance takes what waits at once, and while all are busy requests collect; a
configured delay counts from the oldest arrival. For one device and waiting cost only, the optimal control
of a batch queue is a threshold that is small or zero (Deb and Serfozo 1973, doi:10.2307/1426040).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from onnxd.units import Bytes, Seconds

CutReason = Literal["idle", "freed", "full", "delay", "single"]
"""Why a batch was cut: an instance was idle, one became free, the rows reached the maximum, the oldest
request had waited its delay, or the model does not batch."""


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How requests wait for one version of a model."""

    max_queue_delay: Seconds = 0.0
    """How long the oldest request may be held back so that a fuller batch can form."""
    max_queue_size: Annotated[int, Ge(1)] = 1024
    """Requests that may wait; one more is refused at once."""
    max_queue_bytes: Bytes = 256 * 2**20
    """Payload bytes that may wait; -1 = no bound."""
    default_timeout: Seconds = 0.0
    """How long a request may wait when it does not say; 0 = as long as its own deadline allows."""
    allow_timeout_override: bool = True
    """A request may say how long it waits; with false, default_timeout holds for all."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Take this many requests from the head of the bucket and run them."""

    requests: int
    reason: CutReason


@dataclass(frozen=True, slots=True)
class Hold:
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
) -> Cut | Hold:
    """What to do with one bucket's queue while an instance is free.

    `rows` are the row counts of the waiting requests, oldest first, at least one. `max_rows` 0 means that
    the model does not batch. A request larger than `max_rows` never gets here (it is refused at the edge).
    """
    if max_rows == 0:
        return Cut(1, "single")
    count = total = 0
    full = False
    for more in rows:
        if total + more > max_rows:
            full = True
            break
        count += 1
        total += more
    if full or total == max_rows:
        return Cut(count, "full")
    due_s = oldest_s + max_delay_s
    if max_delay_s > 0:
        return Cut(count, "delay") if now_s >= due_s else Hold(due_s)
    return Cut(count, "freed" if freed else "idle")


def retry_after_s(waiting_rows: int, max_rows: int, mean_run_s: float, runners: int) -> float:
    """When a refused request may find room: the time to work off what waits now, 1 to 30 seconds.

    The head is rounded up to whole seconds because that is all that HTTP's Retry-After can say.
    """
    batches = math.ceil(waiting_rows / max(max_rows, 1))
    return min(30.0, max(1.0, math.ceil(batches * mean_run_s / max(runners, 1))))
