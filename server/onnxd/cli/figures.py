"""Rates and quantiles out of two moments of a server. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxd_client import Moment

Model = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Activity:
    """What a version did between two moments; None = nothing to tell."""

    name: str
    version: str
    state: str
    requests_s: float | None = None
    failures_s: float | None = None
    p50_s: float | None = None
    p99_s: float | None = None
    queue_p99_s: float | None = None
    """Of the time in the queue."""
    mean_rows: float | None = None
    """Of the batches that ran."""
    waiting: int | None = None
    busy: int | None = None
    resident_bytes: int | None = None
    reason: str = ""


def activities(before: "Moment", after: "Moment") -> list[Activity]:
    """Of every version in the later moment, in its order."""
    old = {_key(model): model for model in before.models}
    elapsed_s = after.document["time_s"] - before.document["time_s"]
    seconds = after.bounds["seconds"]
    return [_activity(old.get(_key(model)), model, elapsed_s, seconds) for model in after.models]


def _key(model: Model) -> tuple[str, str]:
    return model["name"], model.get("version", "")


def _activity(before: Model | None, after: Model, elapsed_s: float, seconds: Sequence[float]) -> Activity:
    name, version = _key(after)
    state = after.get("state", "not loaded")
    resident = after.get("memory", {}).get("resident_bytes")
    reason = after.get("reason", "")
    if "answered" not in after:
        return Activity(name, version, state, resident_bytes=resident, reason=reason)
    was = before if before is not None and before.get("answered", 0) <= after["answered"] else None
    runs = _grown(was, after, "executions")
    times = _counts(was, after, "request_times")
    return Activity(
        name,
        version,
        state,
        requests_s=_grown(was, after, "answered") / elapsed_s if elapsed_s > 0 else None,
        failures_s=_failures(was, after) / elapsed_s if elapsed_s > 0 else None,
        p50_s=quantile(0.5, seconds, times),
        p99_s=quantile(0.99, seconds, times),
        queue_p99_s=quantile(0.99, seconds, _counts(was, after, "queue_times")),
        mean_rows=_grown(was, after, "rows") / runs if runs else None,
        waiting=after["waiting"],
        busy=after["busy"],
        resident_bytes=resident,
        reason=reason,
    )


def _grown(before: Model | None, after: Model, key: str) -> int:
    return int(after[key]) - (int(before[key]) if before is not None and key in before else 0)


def _failures(before: Model | None, after: Model) -> int:
    old: int = sum(before.get("failed", {}).values()) if before is not None else 0
    new: int = sum(after["failed"].values())
    return max(new - old, 0)


def _counts(before: Model | None, after: Model, key: str) -> list[int]:
    counts: list[int] = after[key]["counts"]
    if before is None or key not in before:
        return counts
    return [max(new - old, 0) for new, old in zip(counts, before[key]["counts"], strict=True)]


def quantile(share: float, bounds: Sequence[float], counts: Sequence[int]) -> float | None:
    """The value below which a share of what was counted lies, straight within its bucket, as Prometheus'
    histogram_quantile has it; the last bound for what lies beyond. None = nothing was counted."""
    wanted = share * sum(counts)
    if not wanted:
        return None
    below, start = 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if below + count >= wanted:
            return start + (bound - start) * (wanted - below) / count
        below, start = below + count, bound
    return bounds[-1]
