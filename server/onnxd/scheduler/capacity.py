"""What follows from how long runs take: how big a batch may be, and whether a deadline can be met. Pure.

Nothing here refuses or shrinks anything on a guess: without a good fit batches are as big as they may be
(or as the guard allows), and every request is let in.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeGuard

from onnxd.errors import DeadlineExceeded
from onnxd.messages import CutReason
from onnxd.scheduler.caution import LEAST
from onnxd.scheduler.service_time import Fit

CapReason = Literal["maximum", "knee", "deadline", "guard"]
"""What holds a batch's size: the configured maximum, the size from which more rows give hardly more
throughput, a deadline in the batch, or the guard (cap_guard.py)."""

KNEE_SHARE: Final = 0.995
"""Of the throughput that the biggest batch has. Simulated: with less, a server near its capacity loses more
than others gain (benchmarks/policy.py)."""
SHARED_KNEE_SHARE: Final = 0.93
"""The same where one caller keeps a long queue and another asks for little. Whoever comes then waits for a
run that has begun and for its own, and nothing but shorter runs makes that less; the throughput that they
cost is taken from who asks for more than there is (benchmarks/overload.py)."""
STANDING_BATCHES: Final = 3
"""A queue as long as so many full batches is a long one. Shorter runs do not lead to refusals that there
would not be without them: a queue that is worked off by full batches falls below this, and has them again."""
RUN_S: Final = 50e-6
"""Of any run, at least, that is not in its rows, whatever the line says: to stack, start, hop and split. On a
machine that is busy with other things too, the line may say that there is nothing of it, and without this a
small model would run its requests one by one when it has most to do."""
KNEE_RUNS: Final = 16
"""So many must have been seen: the first ones at load are the slowest, and of each size there is one only."""
MARGIN: Final = 0.1
"""How far a prediction is not relied on, at least; where the fit is off by more, it is that."""
FRESH_S: Final = 10.0
"""A refusal needs evidence not older than this. A fit that refuses everybody sees no runs, and would never
learn that it is wrong."""
LONGEST_RETRY_S: Final = 30.0


class Waiting(NamedTuple):
    """What a cap needs to know of a request in the queue."""

    rows: int
    deadline_s: float | None
    """By the scheduler's clock."""


@dataclass(frozen=True, slots=True)
class RowCap:
    """How big the next batch of a bucket may be."""

    rows: int
    """Never fewer than its first request has."""
    reason: CapReason
    start_by_s: float = math.inf
    """When it must start at the latest, whatever it is held back for, so that its deadlines are met."""

    @property
    def full_reason(self) -> CutReason:
        """Why a batch that is as big as this was not bigger."""
        return "full" if self.reason == "maximum" else self.reason


def rows_within(fit: Fit, budget_s: float, max_rows: int) -> int:
    """The most rows, up to `max_rows`, whose run is predicted to take at most so long; 0 = not even one.

    With the longest run that the loop's thread should see as budget: the rows that may run there.
    """
    if fit.predict_s(1) > budget_s:
        return 0
    if fit.predict_s(max_rows) <= budget_s:
        return max_rows
    rows = int((budget_s - fit.line.base_s) / fit.line.per_row_s)
    # The quotient may be off by a rounding.
    while fit.predict_s(rows + 1) <= budget_s:
        rows += 1
    while fit.predict_s(rows) > budget_s:
        rows -= 1
    return rows


def knee(fit: Fit, max_rows: int, share: float = KNEE_SHARE) -> int:
    """The fewest rows whose throughput is nearly (`share`) that of `max_rows`.

    More rows would have everybody in the batch wait for no more answers a second. A model whose time is all
    in its rows has its knee at 1, if a row takes long beside RUN_S; how far the fit is off counts as time
    that may not be in the rows.
    """
    per_row_s = fit.line.per_row_s
    base_s = max(fit.line.base_s, fit.error * fit.predict_s(1), RUN_S)
    enough = share * max_rows / (base_s + per_row_s * max_rows)  # rows a second
    return min(max_rows, max(1, math.ceil(enough * base_s / (1 - enough * per_row_s))))


def steady_cap(
    fit: Fit | None, first_rows: int, *, max_rows: int, guard_rows: int, share: float = KNEE_SHARE
) -> RowCap:
    """Where no deadline is near: the knee, and what the guard allows; `first_rows` of the first request.

    `share` as in `knee`; 1 = batches are to be as full as they can be.
    """
    best, reason = _smallest(*_steady(fit, max_rows, guard_rows, share))
    best = max(first_rows, best)
    return RowCap(best, reason if best < max_rows else "maximum")


def row_cap(
    fit: Fit | None,
    waiting: Iterable[Waiting],
    *,
    now_s: float,
    max_rows: int,
    guard_rows: int,
    share: float = KNEE_SHARE,
) -> RowCap:
    """`waiting`: at least one request of one bucket, in the order in which they will be taken.

    No request joins a batch that would thereby miss the deadline of one that would have met it; a deadline
    that is lost anyway holds up nobody. And no batch grows beyond the knee, or beyond what the guard allows.
    """
    if fit is None or not fit.good:
        return steady_cap(fit, next(iter(waiting)).rows, max_rows=max_rows, guard_rows=guard_rows)
    base_s, per_row_s = fit.line.base_s, fit.line.per_row_s
    first_rows = total = held = 0
    tightest_s = math.inf
    for rows, deadline_s in waiting:
        if total and total + rows > max_rows:
            break
        end_s = now_s + (base_s + per_row_s * (total + rows))
        if end_s > tightest_s:
            held = total
            break
        total += rows
        first_rows = first_rows or rows
        if deadline_s is not None and end_s <= deadline_s < tightest_s:
            tightest_s = deadline_s
    best, reason = _smallest(*_steady(fit, max_rows, guard_rows, share), (held or max_rows, "deadline"))
    best = max(first_rows, best)
    start_by_s = tightest_s - fit.predict_s(min(total, best)) * (1 + _margin(fit))
    return RowCap(best, reason if best < max_rows else "maximum", start_by_s)


class Ahead(NamedTuple):
    """What of one bucket is to run before a request."""

    fit: Fit | None
    rows: int


def work_s(ahead: Iterable[Ahead], max_rows: int) -> float:
    """Seconds of one instance to work it off in the fullest batches; what is not known is left out."""
    seconds = 0.0
    for fit, rows in ahead:
        if fit is not None:
            full, rest = divmod(rows, max_rows)
            seconds += full * fit.predict_s(max_rows) + (fit.predict_s(rest) if rest else 0.0)
    return seconds


def answer_in_s(
    fit: Fit,
    rows: int,
    *,
    left_s: float,
    same_ahead_rows: int,
    other_ahead_s: float,
    busy_s: float,
    max_rows: int,
    runners: int,
    caution: float = LEAST,
) -> float:
    """In how many seconds a request that comes now is answered, where `left_s` are to its deadline.

    `same_ahead_rows`: of its own bucket, which it may share a batch with. `other_ahead_s`: work_s of the
    other buckets that go first. `busy_s`: until the first instance is free, 0 = one is.
    `caution`: what an answer that is behind others is taken to need, beyond what is predicted (caution.py).

    Behind a run it reckons with batches of which two fit the deadline, one that runs and its own, as Nexus
    does (SOSP 2019): a server that lets in what can just make it has everybody just miss it once there is
    too much to do. Simulated: benchmarks/policy.py.
    """
    total = same_ahead_rows + rows
    if busy_s <= 0 and other_ahead_s <= 0 and total <= max_rows:
        return fit.predict_s(total)
    batch = max(rows, rows_within(fit, left_s / 2, max_rows))
    rounds = math.ceil(math.ceil(total / batch) / runners)
    return caution * (busy_s + other_ahead_s / runners + rounds * fit.predict_s(min(total, batch)))


def check_attainable(fit: Fit | None, rows: int, answer_s: float, *, deadline_s: float, now_s: float) -> None:
    """Whether a request that is answered in `answer_s` seconds meets its deadline.

    Raises DeadlineExceeded when it does not: better now than when it has waited in vain.
    """
    left_s = deadline_s - now_s
    if answer_s > left_s and _convincing(fit, rows, now_s):
        raise DeadlineExceeded(
            f"the request's deadline, in {max(left_s, 0):.3f} s, cannot be met: with what is before it, its "
            f"answer takes about {answer_s:.3f} s; allow more time, or send less at once"
        )


def is_lost(fit: Fit | None, rows: int, *, deadline_s: float, now_s: float) -> bool:
    """Whether a request that waits misses its deadline even if it runs now, and alone."""
    return _convincing(fit, rows, now_s) and now_s + fit.predict_s(rows) * (1 - _margin(fit)) > deadline_s


def retry_after_s(backlog_s: float) -> float:
    """When a refused request may find room: the time to work off what waits, 1 to 30 seconds.

    The head is rounded up to whole seconds because that is all that HTTP's Retry-After can say.
    """
    return min(LONGEST_RETRY_S, max(1.0, math.ceil(backlog_s)))


def _convincing(fit: Fit | None, rows: int, now_s: float) -> TypeGuard[Fit]:
    """Whether a request may be refused for what the fit says of it."""
    return fit is not None and fit.knows(rows) and now_s - fit.newest_s <= FRESH_S


def _steady(fit: Fit | None, max_rows: int, guard_rows: int, share: float) -> Iterator[tuple[int, CapReason]]:
    yield max_rows, "maximum"
    if share < 1 and fit is not None and fit.good and fit.runs >= KNEE_RUNS:
        yield knee(fit, max_rows, share), "knee"
    yield guard_rows, "guard"


def _smallest(*caps: tuple[int, CapReason]) -> tuple[int, CapReason]:
    """Of equal ones the first."""
    return min(caps, key=lambda cap: cap[0])


def _margin(fit: Fit) -> float:
    return max(MARGIN, fit.error)
