"""Whether the rows of a batch are independent of each other: what each gets depends on that row alone.

Decided in the trial's process, from the graph where every node is known to work row by row, else by running
made-up rows alone and in company. Only a model that is proven so may have the rows of different clients put
into one run.
"""

import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from onnxd.runtime.graph_file import read_graph
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.probe import Findings, Probe
from onnxd.runtime.row_inquiry import question_from_json
from onnxd.runtime.row_verdict import Outcome, Verdict, verdict_to_json
from onnxd.runtime.rowwise.analysis import Analysis, analyse
from onnxd.runtime.rowwise.indices import index_bounds

BUDGET_S: Final = 5.0
"""For the probe of one model, and never more than half of the CPU time that its trial has left."""
_MOST_READ_BYTES: Final = 512 * 2**20
"""A larger file is not read as a graph: that takes as much memory again."""


def examine(session: OnnxSession, path: Path, question: Mapping[str, Any]) -> dict[str, Any]:
    """The examination: a Verdict, as JSON, on a RowQuestion, as JSON."""
    names = [tensor[0] for tensor in question["inputs"]]
    analysis, bounds = _read(path, names, list(question["outputs"]))
    if analysis is not None and not analysis.unproven:
        return verdict_to_json(Verdict(Outcome.PROVEN, "graph"))
    asked = question_from_json(question, bounds)
    probe = Probe(session.run, asked.inputs, asked.outputs, max_rows=asked.max_rows, budget=_budget())
    try:
        return verdict_to_json(_conclude(probe.run(), analysis))
    except MemoryError:
        return verdict_to_json(Verdict(Outcome.UNDECIDED, "probe", reason="memory ran short in the probe"))


def _read(
    path: Path, inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[Analysis | None, Mapping[str, int]]:
    """None for a file that cannot be read as a graph."""
    try:
        model = read_graph(path) if path.stat().st_size <= _MOST_READ_BYTES else None
        if model is None:
            return None, {}
        return analyse(model, inputs, outputs), index_bounds(model)
    except Exception:  # a graph may be anything, and what the analysis does not understand it does not prove
        return None, {}


def _conclude(found: Findings, analysis: Analysis | None) -> Verdict:
    across = analysis.across if analysis is not None else ""
    if found.influence:
        outcome, reason = Outcome.REFUTED, found.influence + (f" ({across})" if across else "")
    elif found.doubt:
        outcome, reason = Outcome.UNDECIDED, across or found.doubt
    elif across:
        # What was made up may never have met the case in which it matters.
        reason = f"{across}, though no difference was seen in {found.rows} rows"
        outcome = Outcome.UNDECIDED
    else:
        outcome, reason = Outcome.PROVEN, ""
    return Verdict(outcome, "probe", found.rows, found.compositions, found.worst, reason)


def _budget() -> Callable[[], float]:
    """The seconds that are left of it, each time it is called."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    limit = resource.getrlimit(resource.RLIMIT_CPU)[0]
    left_s = limit - usage.ru_utime - usage.ru_stime if limit != resource.RLIM_INFINITY else float("inf")
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    return lambda: min(
        BUDGET_S - (time.monotonic() - start_s), left_s / 2 - (time.process_time() - start_cpu_s)
    )
