"""What is asked of a trial and what it answers, and both as JSON for the pipe."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from onnxd.runtime.blank import Blank, WarmupRun
from onnxd.runtime.examination_names import Finding, Question
from onnxd.runtime.graph import GraphSpec, graph_from_json, graph_to_json
from onnxd.runtime.session_config import SessionConfig
from onnxd.tensors import Datatype

EXAMINING: Final = "examining its "
"""Before an examination's name: the phase that the child says it is in."""
DIED: Final = "died"
"""In the finding of an examination that ended the child: how."""


@dataclass(frozen=True)
class TrialRequest:
    """What to build and run."""

    path: Path
    session: SessionConfig
    threads: int = 0
    """What the session's intra_op_threads 0 stands for; 0 here = this process's CPU budget."""
    warmup: tuple[WarmupRun, ...] = ()
    """Runs that must succeed. None given = one run with guessed shapes, which may fail cleanly (a model need
    not take an image of 1 x 1), but must not crash."""
    examinations: Mapping[str, Question] = field(default_factory=dict)
    """What else to look into after those runs, by the names of `EXAMINATIONS`, in this order."""
    profile: Path | None = None
    """A directory of the caller's, for a session that keeps a profile of its runs."""


@dataclass(frozen=True)
class TrialReport:
    """A trial that went well."""

    graph: GraphSpec
    providers: tuple[str, ...]
    run_times_s: tuple[float, ...]
    """For each warm-up run, the best time of a few repetitions. Empty when the guessed run failed."""
    peak_bytes: int
    """How far resident memory rose above what it was before the session was built; 0 = not known."""
    load_s: float
    """Seconds it took to build the session."""
    guess_failure: str = ""
    """Why the guessed warm-up run failed; empty when it went well or the runs were given."""
    resident_bytes: int = 0
    """How far it was above that once the runs were over and what was free had been given back."""
    notes: tuple[str, ...] = ()
    """What whoever loads it should know of where it runs, a line each."""
    findings: Mapping[str, Finding] = field(default_factory=dict)
    """Of each examination that was asked for. One that ended the child found `{DIED: how}`: it says nothing
    against a model whose warm-up went well."""


def request_to_json(request: TrialRequest) -> dict[str, Any]:
    return {
        "path": str(request.path),
        "session": dataclasses.asdict(request.session),
        "threads": request.threads,
        "warmup": [
            {
                name: [blank.datatype.value, list(blank.shape), blank.random, list(blank.values)]
                for name, blank in run.items()
            }
            for run in request.warmup
        ],
        "examinations": {name: dict(question) for name, question in request.examinations.items()},
        "profile": None if request.profile is None else str(request.profile),
    }


def request_from_json(document: Mapping[str, Any]) -> TrialRequest:
    """The inverse of request_to_json, for the child, which trusts its parent."""
    session = document["session"]
    return TrialRequest(
        path=Path(document["path"]),
        session=SessionConfig(**{**session, "providers": tuple(session["providers"])}),
        threads=document["threads"],
        warmup=tuple(
            {
                name: Blank(Datatype(datatype), tuple(shape), random, tuple(values))
                for name, (datatype, shape, random, values) in run.items()
            }
            for run in document["warmup"]
        ),
        examinations=document["examinations"],
        profile=None if document["profile"] is None else Path(document["profile"]),
    )


def report_to_json(report: TrialReport) -> dict[str, Any]:
    return {
        "graph": graph_to_json(report.graph),
        "providers": list(report.providers),
        "run_times_s": list(report.run_times_s),
        "peak_bytes": report.peak_bytes,
        "resident_bytes": report.resident_bytes,
        "load_s": report.load_s,
        "guess_failure": report.guess_failure,
        "notes": list(report.notes),
        "findings": dict(report.findings),
    }


def report_from_json(document: Mapping[str, Any]) -> TrialReport:
    """The inverse of report_to_json. Raises KeyError, TypeError or ValueError for anything else: the child
    may be in any state."""
    return TrialReport(
        graph=graph_from_json(document["graph"]),
        providers=tuple(str(name) for name in document["providers"]),
        run_times_s=tuple(float(seconds) for seconds in document["run_times_s"]),
        peak_bytes=int(document["peak_bytes"]),
        resident_bytes=int(document["resident_bytes"]),
        load_s=float(document["load_s"]),
        guess_failure=str(document["guess_failure"]),
        notes=tuple(str(note) for note in document["notes"]),
        findings={str(name): dict(finding) for name, finding in document["findings"].items()},
    )
