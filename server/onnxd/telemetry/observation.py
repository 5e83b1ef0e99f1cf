"""What the server is and has done at one moment, frozen: all that the metrics are made of.

Every part merges, so that a server of several processes can answer with the sum of what each has seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, Protocol, Self, TypeVar

from onnxd.telemetry.exemplars import OfHistogram, Version, merged
from onnxd.telemetry.export_counts import ExportCounts, RecordCounts, SpanCounts
from onnxd.telemetry.machine import MachineUsage, ProcessUsage
from onnxd.telemetry.statistics import StatisticsSnapshot

WORKER_ENDS: Final = (
    "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGKILL", "SIGSEGV", "drained", "exit", "other", "silent",
)  # fmt: skip
"""How a worker may end that is started again: by a signal, by itself, or because it answered no more."""


class _Mergeable(Protocol):
    def merged(self, other: Self) -> Self: ...


_M = TypeVar("_M", bound=_Mergeable)


@dataclass(frozen=True, slots=True)
class RunTimes:
    """How long runs take, of the requests that come most often: `base_s + per_row_s * rows`."""

    base_s: float
    per_row_s: float
    cap_rows: int
    """Of the next batch."""

    def merged(self, other: Self) -> Self:
        """Of two processes the slower."""
        return type(self)(
            max(self.base_s, other.base_s),
            max(self.per_row_s, other.per_row_s),
            min(self.cap_rows, other.cap_rows),
        )


@dataclass(frozen=True, slots=True)
class VersionObservation:
    """One served version of a model."""

    model: str
    version: int
    statistics: StatisticsSnapshot
    pending: int
    """Requests that wait in the queue."""
    busy: int
    """Instances that are running a batch."""
    placements: Mapping[str, int]
    """How many instances will run their next batch where; every place is there."""
    load_s: float
    memory: Mapping[str, int] = field(default_factory=dict)
    """Bytes: at most while it was loaded (peak), and since (resident)."""
    run_times: RunTimes | None = None
    """None = nothing has run yet."""
    restarts: Mapping[str, int] = field(default_factory=dict)
    """Deaths of its processes so far, by kind; empty = it has none of its own."""
    waiting_rows: int = 0
    waiting_bytes: int = 0
    """Payload of the requests that wait in the queue."""
    content: str = ""
    """The hash of the files that it was loaded from."""

    def merged(self, other: Self) -> Self:
        """The same version in two processes."""
        return type(self)(
            self.model,
            self.version,
            self.statistics.merged(other.statistics),
            self.pending + other.pending,
            self.busy + other.busy,
            _added(self.placements, other.placements),
            max(self.load_s, other.load_s),
            _added(self.memory, other.memory),
            _both(self.run_times, other.run_times),
            _added(self.restarts, other.restarts),
            self.waiting_rows + other.waiting_rows,
            self.waiting_bytes + other.waiting_bytes,
            max(self.content, other.content),
        )


@dataclass(frozen=True, slots=True)
class StorageObservation:
    """One repository in an object store."""

    repository: str
    """Its URL."""
    objects: int
    bytes: int
    age_s: float | None
    """Since the last look that succeeded; None = none has."""
    looks: int
    """Begun so far."""
    downloaded_bytes: int
    failures: Mapping[str, int]
    """Looks and downloads, by why they failed; every reason is there."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The whole server."""

    build: Mapping[str, str]
    """What runs here, and which version of it."""
    versions: tuple[VersionObservation, ...]
    """Those that serve, by model and version."""
    in_flight: int
    """Requests between the decoder and the encoder."""
    refused: Mapping[str, int]
    """Requests answered with an error, by its class; every class is there."""
    loads: Mapping[str, int]
    """Loads of models, by how they ended."""
    process: ProcessUsage | None = None
    machine: MachineUsage | None = None
    payload_bytes: int = 0
    """Of all requests between the decoder and the encoder."""
    memory_returned: int = 0
    """Bytes that unloads have brought back."""
    workers_alive: int = 0
    """Processes that serve; a server without workers is one."""
    workers_restarted: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(WORKER_ENDS, 0))
    """Workers that were started again, by how they had ended; every end is there."""
    loop_lag_s: float = 0.0
    """How late the event loop was at most, lately."""
    threads: Mapping[str, int] = field(default_factory=lambda: {"budget": 0, "claimed": 0})
    """The budget, and what the sessions of loaded models have together."""
    spans: Mapping[str, int] = field(default_factory=SpanCounts().snapshot)
    """Of traces, by what became of them."""
    metric_exports: Mapping[str, int] = field(default_factory=ExportCounts().snapshot)
    """Of the metrics themselves, by what became of them."""
    records: Mapping[str, int] = field(default_factory=RecordCounts().snapshot)
    """Requests that were to be recorded, by what became of them."""
    exemplars: Mapping[Version, Mapping[str, OfHistogram]] = field(default_factory=dict)
    """Of histograms of versions, by the histograms' names in StatisticsSnapshot."""
    identity: tuple[str, ...] = ()
    """Which of several servers this is, as IDENTITY_LABELS has it; empty = it was not told."""
    storage: tuple[StorageObservation, ...] = ()
    """Repositories in object stores, which one process of a server keeps up with."""


def merge(left: Observation, right: Observation) -> Observation:
    """What two processes of one server have seen together: counts add up, and so do gauges of parts."""
    versions: dict[tuple[str, int], VersionObservation] = {}
    for seen in chain(left.versions, right.versions):
        key = (seen.model, seen.version)
        versions[key] = versions[key].merged(seen) if key in versions else seen
    return Observation(
        build=left.build,
        versions=tuple(versions[key] for key in sorted(versions)),
        in_flight=left.in_flight + right.in_flight,
        refused=_added(left.refused, right.refused),
        loads=_added(left.loads, right.loads),
        process=_both(left.process, right.process),
        machine=_both(left.machine, right.machine),
        payload_bytes=left.payload_bytes + right.payload_bytes,
        memory_returned=left.memory_returned + right.memory_returned,
        workers_alive=left.workers_alive + right.workers_alive,
        workers_restarted=_added(left.workers_restarted, right.workers_restarted),
        loop_lag_s=max(left.loop_lag_s, right.loop_lag_s),
        threads=_added(left.threads, right.threads),
        spans=_added(left.spans, right.spans),
        metric_exports=_added(left.metric_exports, right.metric_exports),
        records=_added(left.records, right.records),
        exemplars=merged(left.exemplars, right.exemplars),
        identity=left.identity or right.identity,
        storage=left.storage or right.storage,
    )


def _both(left: _M | None, right: _M | None) -> _M | None:
    if left is None or right is None:
        return right if left is None else left
    return left.merged(right)


def _added(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    return {key: left.get(key, 0) + right.get(key, 0) for key in sorted({*left, *right})}
