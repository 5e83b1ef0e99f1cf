"""Observations of a server as hypothesis draws them: any history of any few versions."""

from typing import Final

from hypothesis import strategies as st

from onnxd.messages import Timeline
from onnxd.runtime.worker_process import DEATH_KINDS
from onnxd.telemetry.machine import MachineUsage, ProcessUsage
from onnxd.telemetry.observation import Observation, RunTimes, VersionObservation
from onnxd.telemetry.refusals import REASONS
from onnxd.telemetry.statistics import FailureReason, ModelStatistics, StatisticsSnapshot

BUILD: Final = {"version": "1", "onnxruntime": "2", "python": "3"}

_counts: Final = st.integers(min_value=0, max_value=2**40)
_times: Final = st.integers(min_value=0, max_value=10**11)
_rows: Final = st.integers(min_value=1, max_value=3000)
Event = tuple[int, int, int, int] | tuple[FailureReason, int] | tuple[int, int]
events: Final = st.lists(
    st.one_of(
        st.tuples(_times, _times, _rows, _counts),
        st.tuples(st.sampled_from(FailureReason), _times),
        st.tuples(_rows, _times),
    ),
    max_size=12,
)
"""Answered (waited, ran, rows, bytes), failed (reason, after), and executed (rows, ran)."""


def history(happened: list[Event]) -> StatisticsSnapshot:
    """The counters of a version that has seen these."""
    statistics = ModelStatistics(wall_ns=lambda: 5_000_000)
    for event in happened:
        match event:
            case (waited, ran, rows, size):
                end = waited + ran
                statistics.record_success(
                    Timeline(1, 0, 0, 0, waited, waited, end, end), rows=rows, byte_size=size
                )
            case (FailureReason() as reason, after):
                statistics.record_failure(after, reason)
            case (int() as rows, ran):
                statistics.record_batch(rows, 0, ran, 0)
                statistics.record_padding(ran, min(rows, ran))
    return statistics.snapshot()


_usages: Final = st.builds(ProcessUsage, st.integers(0, 2**20), _counts, _counts, _counts)
_machines: Final = st.builds(MachineUsage, st.floats(0, 1), _counts, _counts)


def _versions(names: list[str]) -> st.SearchStrategy[tuple[VersionObservation, ...]]:
    one = st.builds(
        VersionObservation,
        model=st.sampled_from(names),
        version=st.integers(1, 2),
        statistics=events.map(history),
        pending=_counts,
        busy=_counts,
        placements=st.fixed_dictionaries({"inline": _counts, "thread": _counts, "process": _counts}),
        load_s=st.floats(0, 1000),
        run_times=st.none() | st.builds(RunTimes, st.floats(0, 10), st.floats(0, 10), st.integers(1, 1000)),
        waiting_rows=_counts,
        waiting_bytes=_counts,
        content=st.sampled_from(["", "c0ffee", "decaf"]),
        restarts=st.just({}) | st.fixed_dictionaries(dict.fromkeys(DEATH_KINDS, _counts)),
    )
    several = st.lists(one, max_size=3, unique_by=lambda seen: (seen.model, seen.version))
    return several.map(lambda seen: tuple(sorted(seen, key=lambda each: (each.model, each.version))))


observations: Final = st.builds(
    Observation,
    build=st.just(BUILD),
    versions=_versions(["a", "b"]),
    in_flight=_counts,
    refused=st.fixed_dictionaries(dict.fromkeys(REASONS, _counts)),
    loads=st.fixed_dictionaries({"success": _counts, "failure": _counts}),
    loop_lag_s=st.floats(0, 10),
    threads=st.fixed_dictionaries({"budget": _counts, "claimed": _counts}),
    spans=st.fixed_dictionaries({"sent": _counts, "failed": _counts, "dropped": _counts}),
    metric_exports=st.fixed_dictionaries({"sent": _counts, "failed": _counts, "skipped": _counts}),
    process=st.none() | _usages,
    machine=st.none() | _machines,
)
