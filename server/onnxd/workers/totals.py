"""What all workers have seen together, those that have died included.

A worker says from time to time what it has seen; the last word of one that has ended is kept, but for what
was true of it only while it lived. So a counter that somebody has been told never goes back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce

from onnxd.telemetry.machine import ProcessUsage
from onnxd.telemetry.observation import Observation, VersionObservation, merge

Served = Mapping[tuple[str, int], int]
"""The load behind each version that serves: a version that is loaded again counts from 0."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one worker has seen until some moment."""

    at_ns: int
    """Of the worker's clock; an older report does not replace a newer one."""
    seen: Observation
    loads: tuple[tuple[str, int, int], ...]
    """Model, version, and the load of which the counters are."""
    broken: tuple[tuple[int, str], ...] = ()
    """Loads that no longer answer there, and why."""

    def of(self, served: Served) -> Observation:
        """Without the versions that no longer serve, or were loaded again since."""
        current = {(name, number) for name, number, load in self.loads if served.get((name, number)) == load}
        versions = (seen for seen in self.seen.versions if (seen.model, seen.version) in current)
        return replace(self.seen, versions=tuple(versions))


class Totals:
    """The reports, and their sum."""

    def __init__(self) -> None:
        self._living: dict[int, Report] = {}
        self._ended: list[Report] = []
        self._elsewhere: Observation | None = None
        """Of workers that have ended: what is about no version that still serves."""

    def note(self, worker: int, report: Report) -> None:
        known = self._living.get(worker)
        if known is None or known.at_ns < report.at_ns:
            self._living[worker] = report

    def end(self, worker: int) -> None:
        """The worker has ended; what it has counted stays."""
        report = self._living.pop(worker, None)
        if report is None:
            return
        self._ended.append(replace(report, seen=remains(report.seen)))

    def together(self, own: Observation, served: Served) -> Observation:
        """`own`: what the supervisor has seen itself."""
        self._forget(served)
        reports = [report.of(served) for report in (*self._living.values(), *self._ended)]
        return reduce(merge, [own, *([self._elsewhere] if self._elsewhere else []), *reports])

    def broken(self) -> Iterable[tuple[int, tuple[int, str]]]:
        """By worker: the loads that no longer answer, each with its reason."""
        return ((worker, each) for worker, report in self._living.items() for each in report.broken)

    def _forget(self, served: Served) -> None:
        """Of workers that have ended, versions that no longer serve: this is not to grow with each death."""
        kept = []
        for report in self._ended:
            if report.of(served).versions:
                kept.append(report)
                continue
            rest = replace(report.seen, versions=())
            self._elsewhere = rest if self._elsewhere is None else merge(self._elsewhere, rest)
        self._ended = kept


def remains(seen: Observation) -> Observation:
    """What stays of a worker when it ends: what it has counted, and not what it held."""
    process = seen.process
    return replace(
        seen,
        versions=tuple(map(_remains_of_version, seen.versions)),
        in_flight=0,
        payload_bytes=0,
        workers_alive=0,
        process=None if process is None else ProcessUsage(process.cpu_s, 0, 0, process.started_s),
        machine=None,
    )


def _remains_of_version(seen: VersionObservation) -> VersionObservation:
    return replace(
        seen,
        pending=0,
        busy=0,
        placements=dict.fromkeys(seen.placements, 0),
        memory={},
        run_times=None,
    )
