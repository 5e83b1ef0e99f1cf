"""How a version's requests are put together, for people who ask why: GET .../batching. Pure.

Times are seconds, and ages are seconds before the answer. Every list is bounded by what the server keeps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from onnxd.messages import CutReason

Document = dict[str, Any]

MOST_WAITING: Final = 64
"""Rows about the queue, the most urgent first; the totals count the rest."""


@dataclass(frozen=True, slots=True)
class FittedTimes:
    """Runs take `base_s + per_row_s * rows`."""

    base_s: float
    per_row_s: float
    error: float
    """How far what was seen lies from it, as a share of it."""
    good: bool
    """Whether anything is decided by it."""


@dataclass(frozen=True, slots=True)
class SizeTimes:
    """The runs of one size."""

    rows: int
    median_s: float
    weight: float
    """What it counts for in the fit."""


@dataclass(frozen=True, slots=True)
class Cap:
    """How big the next batch may be."""

    rows: int
    reason: str
    """maximum, knee, deadline or guard."""


@dataclass(frozen=True, slots=True)
class BucketRow:
    """Requests that may share a batch: what is known of their runs."""

    bucket: str
    runs: int
    fit: FittedTimes
    sizes: tuple[SizeTimes, ...]
    cap: Cap


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """What waits of one bucket and priority level."""

    bucket: str
    priority: int
    delayed: bool
    requests: int
    rows: int
    bytes: int
    oldest_s: float
    """How long the first of them has waited."""


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One of the last runs."""

    bucket: str
    rows: int
    requests: int
    cut: str
    run_s: float
    ended_s: float
    """How long ago."""
    failed: bool
    again: bool
    """A part of a batch that had failed."""


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """What is in force, which is what the config says unless it has been changed since."""

    max_batch_size: int
    dynamic: bool
    max_queue_delay_s: float
    preferred_sizes: tuple[int, ...]
    max_queue_size: int
    max_queue_bytes: int
    default_timeout_s: float
    timeout_action: str
    allow_timeout_override: bool
    priority_levels: int
    default_priority: int
    preserve_ordering: bool
    split_large: bool
    single_flight: bool


@dataclass(frozen=True, slots=True)
class BatchingReport:
    """All of it, of one version at one moment."""

    name: str
    version: int
    policy: PolicyRow
    instances: int
    busy: int
    waiting_requests: int
    waiting_rows: int
    waiting: Sequence[WaitingRow]
    buckets: Sequence[BucketRow]
    batches: Sequence[BatchRow]
    """The newest first."""
    cuts: Mapping[CutReason, int]
    dynamic_elements: int
    padding_elements: int
    bisections: int
    reruns: int


def batching(report: BatchingReport) -> Document:
    elements, padding = report.dynamic_elements, report.padding_elements
    return {
        "name": report.name,
        "version": str(report.version),
        "policy": asdict(report.policy),
        "instances": {"count": report.instances, "busy": report.busy},
        "queue": {
            "requests": report.waiting_requests,
            "rows": report.waiting_rows,
            "waiting": [asdict(row) for row in report.waiting[:MOST_WAITING]],
        },
        "buckets": [asdict(row) for row in report.buckets],
        "batches": [asdict(row) for row in report.batches],
        "cuts": dict(report.cuts),
        "padding": {
            "elements": elements,
            "padding": padding,
            "share": padding / elements if elements else 0.0,
        },
        "bisections": {"batches": report.bisections, "runs": report.reruns},
    }
