"""How busy a replica's engine is, for those who decide how many replicas there are. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from onnxd.telemetry.observation import VersionObservation

WAITING: Final = "onnxd_waiting_requests"
QUEUE_TIME: Final = "onnxd_queue_time_s"
BUSY: Final = "onnxd_busy_share"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a version had done at the last reading."""

    queued: int = 0
    queue_ns: int = 0
    run_ns: int = 0


class Figures:
    """Readings of counters that only grow, as figures of the time between two readings."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], _Seen] = {}
        self._read_ns: int | None = None

    def read(self, versions: Iterable[VersionObservation], now_ns: int) -> Mapping[str, float]:
        """Of the time since the last reading, by name; of the model that is worst off, since one that waits
        is not helped by others that do not."""
        elapsed_ns = None if self._read_ns is None else max(now_ns - self._read_ns, 1)
        self._read_ns = now_ns
        seen: dict[tuple[str, int], _Seen] = {}
        waiting, queue_ns, busy = 0, 0.0, 0.0
        for each in versions:
            key = each.model, each.version
            now = seen[key] = _look(each)
            before = self._seen.get(key, _Seen())
            waiting += each.pending
            if elapsed_ns is None:
                continue
            left = now.queued - before.queued
            if left:
                queue_ns = max(queue_ns, (now.queue_ns - before.queue_ns) / left)
            elif each.pending:  # nothing has left the queue in all that time
                queue_ns = max(queue_ns, float(elapsed_ns))
            instances = max(sum(each.placements.values()), 1)
            busy = max(busy, (now.run_ns - before.run_ns) / (elapsed_ns * instances))
        self._seen = seen
        return {WAITING: float(waiting), QUEUE_TIME: queue_ns / 1e9, BUSY: min(busy, 1.0)}


def _look(version: VersionObservation) -> _Seen:
    statistics = version.statistics
    runs = sum(
        part.ns
        for batch in statistics.batches
        for part in (batch.compute_input, batch.compute_infer, batch.compute_output)
    )
    return _Seen(statistics.queue.count, statistics.queue.ns, runs)
