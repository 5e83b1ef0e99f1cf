"""What the server is doing at one moment, for whoever watches it: GET /v2/events. Pure.

Counters and histograms are those of the metrics, and as there they only grow until a version is loaded again:
rates and quantiles are the watcher's to make of two moments. Times are seconds.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from onnxd.telemetry.histogram import DURATION_BOUNDS_NS, ROWS_BOUNDS, HistogramSnapshot
from onnxd.telemetry.machine import ProcessUsage
from onnxd.telemetry.observation import Observation, VersionObservation

Document = dict[str, Any]

_NS: Final = 10**9

BOUNDS: Final[Document] = {
    "seconds": [bound / _NS for bound in DURATION_BOUNDS_NS],
    "rows": list(ROWS_BOUNDS),
}
"""The upper bounds of the histograms' buckets; each has one bucket more, for what lies beyond."""


def live_document(
    seen: Observation,
    index: Iterable[Document],
    *,
    time_s: float,
    ready: bool,
    process: ProcessUsage | None,
    about: Mapping[tuple[str, int], Document],
) -> Document:
    """`index`: the entries of the repository index that the watcher may see. `about`: by model and version,
    what does not change while it serves."""
    observed = {(version.model, version.version): version for version in seen.versions}
    models = []
    for entry in index:
        model = dict(entry)
        key = (entry["name"], int(entry.get("version", 0)))
        if key in observed:
            model |= about.get(key, {}) | _activity(observed[key])
        models.append(model)
    return {
        "time_s": time_s,
        "ready": ready,
        "in_flight": seen.in_flight,
        "payload_bytes": seen.payload_bytes,
        "refused": {kind: count for kind, count in seen.refused.items() if count},
        "loads": dict(seen.loads),
        "process": (
            None if process is None else {"cpu_s": process.cpu_s, "resident_bytes": process.resident_bytes}
        ),
        "models": models,
    }


def _activity(version: VersionObservation) -> Document:
    statistics = version.statistics
    return {
        "answered": statistics.success.count,
        "failed": {why.value: count for why, count in statistics.failures.items() if count},
        "rows": statistics.inference_count,
        "executions": statistics.execution_count,
        "waiting": version.pending,
        "busy": version.busy,
        "cuts": {why: count for why, count in statistics.cuts.items() if count},
        "request_times": _histogram(statistics.request_times),
        "queue_times": _histogram(statistics.queue_times),
        "compute_times": _histogram(statistics.compute_times),
        "batch_rows": _histogram(statistics.batch_rows(), 1),
    }


def _histogram(snapshot: HistogramSnapshot, per_unit: int = _NS) -> Document:
    """Counts by bucket, not added up."""
    return {"counts": list(snapshot.counts), "sum": snapshot.total / per_unit}
