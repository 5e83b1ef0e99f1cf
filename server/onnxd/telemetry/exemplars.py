"""For each bucket of a histogram the last traced request that fell into it: a number leads to a trace."""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from onnxd.messages import Timeline
from onnxd.telemetry.histogram import DURATION_BOUNDS_NS, ROWS_BOUNDS

REQUEST_TIMES: Final = "request_times"
QUEUE_TIMES: Final = "queue_times"
COMPUTE_TIMES: Final = "compute_times"
BATCH_ROWS: Final = "batch_rows"
"""The histograms that have some, by their names in StatisticsSnapshot."""

Version = tuple[str, int]
"""Model and version."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One recorded value, and whose it was."""

    value: int
    """In what the histogram records."""
    trace_id: str
    span_id: str
    """Both in hexadecimal digits."""
    at_s: float
    """Seconds of the Unix epoch."""


OfHistogram = Mapping[int, Exemplar]
"""By the place of the bucket."""


class Exemplars:
    """Of all versions. Only the loop's thread may touch it."""

    def __init__(self, clock_s: Callable[[], float] = time.time) -> None:
        self._clock_s = clock_s
        self._kept: dict[Version, dict[str, dict[int, Exemplar]]] = {}

    def record(self, timeline: Timeline, trace_id: str, span_id: str) -> None:
        """A traced request was answered."""
        if not timeline.executions or not timeline.compute_end_ns:
            return
        origin = timeline.executions[-1].origin
        histograms = self._kept.setdefault((origin.model, origin.version), {})
        queued_ns, taken_ns, ended_ns = (
            timeline.queue_start_ns, timeline.compute_start_ns, timeline.compute_end_ns,
        )  # fmt: skip
        now_s = self._clock_s()
        for name, bounds, value in (
            (REQUEST_TIMES, DURATION_BOUNDS_NS, ended_ns - queued_ns),
            (QUEUE_TIMES, DURATION_BOUNDS_NS, taken_ns - queued_ns),
            (COMPUTE_TIMES, DURATION_BOUNDS_NS, ended_ns - taken_ns),
            (BATCH_ROWS, ROWS_BOUNDS, timeline.batch_rows),
        ):
            buckets = histograms.setdefault(name, {})
            buckets[bisect_left(bounds, value)] = Exemplar(value, trace_id, span_id, now_s)

    def snapshot(self, serving: Iterable[Version]) -> dict[Version, dict[str, OfHistogram]]:
        """Of the versions that serve; those of others are forgotten."""
        self._kept = {version: self._kept[version] for version in serving if version in self._kept}
        return {
            version: {name: dict(buckets) for name, buckets in histograms.items()}
            for version, histograms in self._kept.items()
        }


def merged(
    left: Mapping[Version, Mapping[str, OfHistogram]], right: Mapping[Version, Mapping[str, OfHistogram]]
) -> dict[Version, dict[str, OfHistogram]]:
    """What two processes have kept; of one bucket the later."""
    together: dict[Version, dict[str, dict[int, Exemplar]]] = {}
    for each in (left, right):
        for version, histograms in each.items():
            for name, buckets in histograms.items():
                kept = together.setdefault(version, {}).setdefault(name, {})
                for place, exemplar in buckets.items():
                    if place not in kept or kept[place].at_s <= exemplar.at_s:
                        kept[place] = exemplar
    return {version: dict(histograms) for version, histograms in together.items()}
