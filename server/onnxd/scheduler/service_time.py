"""How long a run of so many rows takes, learnt from the runs themselves: t0 + a * rows for each bucket.

    a run -> the last few of its size (their median) -> a line through the medians -> a Fit

A stall is one of a few runs of its size and moves no median; a model that has really become slower moves
each size after five runs of it. Sizes that no longer occur lose their weight to those that do. The first
points are the warm-up runs at load, so that nobody's request is spent on learning.

Only the loop's thread touches it. To note a run costs about a microsecond and the line is drawn anew at most
every few runs, when somebody asks for it.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from onnxd.scheduler.cap_guard import CapGuard, after_run
from onnxd.scheduler.item import BucketKey
from onnxd.scheduler.line import Line, Point, robust_line, weighted_median

MOST_ERROR: Final = 0.25
"""A line that lies further than this from what was seen is no description of the model."""
MOST_BUCKETS: Final = 64
_MOST_SIZES: Final = 16
_RUNS_OF_A_SIZE: Final = 9
_HALF_WEIGHT_AFTER: Final = 256
"""Runs of other sizes."""
_FIRST_RUNS: Final = 16
"""So long the line is drawn anew after each run; from then on every few."""
_RUNS_TO_A_FIT: Final = 8
_MANY_RUNS: Final = 256
_MANY_TO_A_FIT: Final = 32
_FADES: Final = 0.999
_EXACT_SIZES: Final = 8
"""From this many rows on, sizes within a quarter count as one: each must come often enough for a median."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What is known of a bucket's run times at one moment."""

    line: Line
    error: float
    """How far what was seen lies from the line, as a share of it: the weighted median."""
    least_rows: int
    most_rows: int
    """The sizes that were seen."""
    newest_s: float
    """When the newest run ended, by the scheduler's clock."""
    runs: int
    """Noted so far."""

    @property
    def good(self) -> bool:
        """Whether run times are such a line at all."""
        return self.error <= MOST_ERROR

    def knows(self, rows: int) -> bool:
        """Whether there is evidence for a run of so many rows, rather than a guess."""
        return self.good and self.least_rows <= rows <= self.most_rows

    def predict_s(self, rows: int) -> float:
        """Seconds of a run."""
        return self.line.at(rows)


@dataclass(frozen=True, slots=True)
class BucketTimes:
    """A bucket's fit with the data behind it, to be shown."""

    bucket: BucketKey
    fit: Fit
    points: tuple[Point, ...]
    """The median run of each size, by rows."""
    runs: int
    """Noted so far, warm-up included."""
    guard_rows: int
    """The guard's cap."""


class ServiceTimes:
    """The run times of one version of a model.

    Bounded: of more than `most_buckets` buckets, those that ran least recently are forgotten.
    """

    def __init__(self, *, max_rows: int, most_buckets: int = MOST_BUCKETS) -> None:
        """`max_rows`: of the biggest batch; 0 = the model does not batch, and each run counts as one row."""
        self._max_rows = max(max_rows, 1)
        self._most_buckets = most_buckets
        self._buckets: dict[BucketKey, _Runs] = {}
        self._newest: BucketKey | None = None
        self._newest_runs = _Runs(CapGuard(self._max_rows))
        self.longest_s = 0.0
        """What a full batch takes at most, by any run of late: without a line, and so rather too much."""

    def note(self, bucket: BucketKey, rows: int, seconds: float, now_s: float) -> None:
        """A run has ended well: of the warm-up, or of requests."""
        # Mostly the same one runs again, and to compare two keys is cheaper than to look one up.
        if bucket != self._newest:
            self._newest, self._newest_runs = bucket, self._brought_forward(bucket)
        full_s, faded_s = seconds * self._max_rows / max(rows, 1), self.longest_s * _FADES
        self.longest_s = full_s if full_s > faded_s else faded_s
        self._newest_runs.note(rows, seconds, now_s, self._max_rows)

    def note_failure(self, bucket: BucketKey, rows: int) -> None:
        """A run of so many rows found no memory: smaller ones may."""
        runs = self._buckets.get(bucket)
        if runs is not None:
            runs.guard = after_run(runs.guard, rows, well=False, max_rows=self._max_rows)

    def fit(self, bucket: BucketKey) -> Fit | None:
        """None = nothing of the kind has run yet."""
        runs = self._buckets.get(bucket)
        return None if runs is None else runs.fit()

    def guard_rows(self, bucket: BucketKey) -> int:
        """The guard's cap; `max_rows` while nothing went wrong."""
        runs = self._buckets.get(bucket)
        return self._max_rows if runs is None else runs.guard.rows

    def usual(self) -> BucketTimes | None:
        """Of the bucket that has run most often; None = nothing has run."""
        if not self._buckets:
            return None
        return _shown(*max(self._buckets.items(), key=lambda each: each[1].count))

    def snapshot(self) -> tuple[BucketTimes, ...]:
        """All of it, the bucket that ran last first."""
        return tuple(_shown(bucket, runs) for bucket, runs in reversed(self._buckets.items()))

    def _brought_forward(self, bucket: BucketKey) -> "_Runs":
        """Of this bucket, which is the last to be forgotten from now on."""
        runs = self._buckets.pop(bucket, None)
        if runs is None:
            runs = _Runs(CapGuard(self._max_rows))
            if len(self._buckets) >= self._most_buckets:
                del self._buckets[next(iter(self._buckets))]
        self._buckets[bucket] = runs
        return runs


@dataclass(slots=True)
class _Size:
    """The last runs of one size, each (seconds, rows)."""

    newest: int
    """The number of its last run."""
    runs: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_RUNS_OF_A_SIZE))

    def median(self) -> tuple[float, int]:
        """One of them; the lower of two, since what disturbs a run makes it longer."""
        return sorted(self.runs)[(len(self.runs) - 1) // 2]


class _Runs:
    """One bucket."""

    __slots__ = ("_fit", "_newest_s", "_sizes", "_unfitted", "count", "guard")

    def __init__(self, guard: CapGuard) -> None:
        self.guard = guard
        self.count = 0
        self._sizes: dict[int, _Size] = {}
        self._unfitted = 0
        self._newest_s = 0.0
        self._fit: Fit | None = None

    def note(self, rows: int, seconds: float, now_s: float, max_rows: int) -> None:
        self.count += 1
        self._unfitted += 1
        self._newest_s = now_s
        near = _near(rows)
        size = self._sizes.pop(near, None)
        if size is None:
            size = _Size(self.count)
            if len(self._sizes) >= _MOST_SIZES:
                self._forget_one()
        size.newest = self.count
        size.runs.append((seconds, rows))
        self._sizes[near] = size
        if rows >= self.guard.rows:
            well = self._fit is None or self._fit.good or self._pays(rows, seconds)
            if not well or self.guard.rows < max_rows:
                self.guard = after_run(self.guard, rows, well=well, max_rows=max_rows)

    def fit(self) -> Fit:
        if self._fit is None or self._unfitted >= self._runs_to_a_fit():
            return self.refit()
        return self._fit

    def _runs_to_a_fit(self) -> int:
        if self.count <= _FIRST_RUNS:
            return 1
        return _RUNS_TO_A_FIT if self.count <= _MANY_RUNS else _MANY_TO_A_FIT

    def refit(self) -> Fit:
        points = self.points()
        line = robust_line(points)
        error = weighted_median(
            (abs(point.seconds / max(line.at(point.rows), 1e-9) - 1), point.weight) for point in points
        )
        sizes = [point.rows for point in points]
        self._fit = Fit(line, error, min(sizes), max(sizes), self._newest_s, self.count)
        self._unfitted = 0
        return self._fit

    def points(self) -> list[Point]:
        points = []
        for size in self._sizes.values():
            seconds, rows = size.median()
            age = self.count - size.newest
            points.append(Point(rows, seconds, len(size.runs) * 0.5 ** (age / _HALF_WEIGHT_AFTER)))
        return points

    def _forget_one(self) -> None:
        """The size that ran least recently. The smallest and the biggest hold the line up, and stay."""
        outer = (min(self._sizes), max(self._sizes))
        del self._sizes[next(near for near in self._sizes if near not in outer)]

    def _pays(self, rows: int, seconds: float) -> bool:
        """Whether a full batch gave about as many rows a second as smaller ones do: not beyond a cliff."""
        smaller = [size.median() for near, size in self._sizes.items() if near < _near(rows)]
        best = max((size_rows / max(s, 1e-9) for s, size_rows in smaller), default=0.0)
        return rows / max(seconds, 1e-9) >= best * (1 - MOST_ERROR)


def _shown(bucket: BucketKey, runs: _Runs) -> BucketTimes:
    return BucketTimes(bucket, runs.refit(), tuple(sorted(runs.points())), runs.count, runs.guard.rows)


def _near(rows: int) -> int:
    """The size that a run of so many rows counts to."""
    if rows < _EXACT_SIZES:
        return rows
    shift = rows.bit_length() - 3
    return rows >> shift << shift
