"""The process in which a model runs first: `python -m onnxd.runtime.trial_child PARENT_PID`.

Reads requests on its standard input and answers on its standard output (framing.py), one at a time, until
the input ends. Before each step that may kill it, it says which: `{"phase": ...}`. The last frame of an
answer is `{"report": ...}` or `{"refused": reason, "out_of_memory": bool}`.

An inspected session is kept until the next request, which usually wants the same one.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, BinaryIO, Final

from onnxd.errors import LoadFailed, ServerError
from onnxd.runtime import child_limits, framing, ort_errors
from onnxd.runtime.blank import Blank, WarmupRun
from onnxd.runtime.examinations import EXAMINATIONS
from onnxd.runtime.external_data import check_references
from onnxd.runtime.memory import give_back, resident_bytes
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.ort import onnxruntime
from onnxd.runtime.providers import CPU
from onnxd.runtime.threads import cpu_budget
from onnxd.runtime.trial_messages import (
    EXAMINING,
    TrialReport,
    TrialRequest,
    report_to_json,
    request_from_json,
)

READING: Final = "looking for what it refers to"
BUILDING: Final = "building the session"
RUNNING: Final = "running the warm-up"

_IDENTITY: Final = (
    b'\x08\x07:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
"""The smallest model: y = x, FP32 [1]."""

_MOST_REPEATS: Final = 5
_MOST_SHOWN: Final = 4
_REPEAT_WHILE_S: Final = 0.02

Send = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class _Built:
    """A session, what it was built from, and what that cost."""

    request: TrialRequest
    session: OnnxSession
    load_s: float
    resident_before: int


def main() -> None:
    """Serves requests until the parent closes the pipe or ends."""
    child_limits.no_core_dumps()
    child_limits.die_with_parent(int(sys.argv[1]))
    child_limits.die_first()
    child_limits.no_large_files()
    requests, answers = _own_pipes()
    # What a process takes for its first session, about 10 MiB, is not the first model's.
    onnxruntime.InferenceSession(_IDENTITY, providers=[CPU])

    def send(document: dict[str, Any]) -> None:
        framing.write(answers, document)

    send({"phase": "waiting"})
    built: _Built | None = None
    while (document := framing.read(requests)) is not None:
        child_limits.limit_memory(document["memory_bytes"])
        child_limits.limit_cpu(document["cpu_s"])
        try:
            built = _answer(document, built, send)
        except (ServerError, MemoryError) as error:
            built = None
            send(_refusal(error))
        if built is None:
            give_back()


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output for the frames alone: what a library prints goes to standard error."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return requests, answers


def _answer(document: dict[str, Any], built: _Built | None, send: Send) -> _Built | None:
    """Sends the answer; returns what to keep for the next request."""
    request = request_from_json(document)
    if built is None or built.request != _to_build(request):
        built = None  # two large sessions at once would not fit the limit
        send({"phase": READING})
        check_references(request.path)
        send({"phase": BUILDING})
        built = _build(request)
    session = built.session
    report = TrialReport(
        session.graph, session.providers, (), _risen(built), built.load_s, notes=session.notes
    )
    if not document["run"]:
        send({"report": report_to_json(report)})
        return built
    send({"phase": RUNNING})
    times, failure = _warm_up(built.session, request.warmup)
    peak = _risen(built)
    give_back()
    resident = max(0, resident_bytes() - built.resident_before)
    findings = {}
    for name, question in request.examinations.items():
        send({"phase": f"{EXAMINING}{name}"})
        findings[name] = EXAMINATIONS[name](built.session, request.path, question)
    report = replace(
        report,
        run_times_s=times,
        guess_failure=failure,
        peak_bytes=peak,
        resident_bytes=resident,
        findings=findings,
    )
    send({"report": report_to_json(report)})
    return None


def _to_build(request: TrialRequest) -> TrialRequest:
    """What a session depends on."""
    return replace(request, warmup=(), examinations={})


def _build(request: TrialRequest) -> _Built:
    child_limits.reset_peak()
    before = resident_bytes()
    start_s = time.perf_counter()
    session = OnnxSession.open(
        request.path, request.session, request.threads or cpu_budget(), request.profile
    )
    return _Built(_to_build(request), session, time.perf_counter() - start_s, before)


def _risen(built: _Built) -> int:
    return max(0, child_limits.peak_bytes() - built.resident_before)


def _warm_up(session: OnnxSession, runs: tuple[WarmupRun, ...]) -> tuple[tuple[float, ...], str]:
    """The best time of each run, and why the guessed one failed if it did."""
    if runs:
        times = []
        for number, run in enumerate(runs, start=1):
            try:
                times.append(_timed(session, run))
            except ServerError as error:
                raise LoadFailed(f"warm-up run {number} ({_shapes(run)}) failed: {error.message}") from error
        return tuple(times), ""
    try:
        return (_timed(session, guess(session)),), ""
    except ServerError as error:
        if _is_out_of_memory(error):
            raise
        return (), error.message


def _shapes(run: WarmupRun) -> str:
    shown = [f"{name} {list(blank.shape)}" for name, blank in islice(run.items(), _MOST_SHOWN)]
    return ", ".join((*shown, "...") if len(run) > _MOST_SHOWN else shown)


def guess(session: OnnxSession) -> WarmupRun:
    """The required inputs, in the shapes that the graph declares."""
    return {tensor.name: Blank(tensor.datatype, tensor.shape) for tensor in session.graph.inputs}


def _timed(session: OnnxSession, run: WarmupRun) -> float:
    """Seconds of the best of a few runs: the first still allocates, and a short one is easily disturbed."""
    inputs = {name: blank.array() for name, blank in run.items()}
    best_s = float("inf")
    spent_s = 0.0
    for _ in range(_MOST_REPEATS):
        start_s = time.perf_counter()
        session.run(inputs)
        elapsed_s = time.perf_counter() - start_s
        best_s = min(best_s, elapsed_s)
        spent_s += elapsed_s
        if spent_s > _REPEAT_WHILE_S:
            break
    return best_s


def _refusal(error: ServerError | MemoryError) -> dict[str, Any]:
    reason = error.message if isinstance(error, ServerError) else "not enough memory"
    return {"refused": reason, "out_of_memory": _is_out_of_memory(error)}


def _is_out_of_memory(error: BaseException) -> bool:
    causes = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__
    return any(ort_errors.is_out_of_memory(cause) for cause in causes)


if __name__ == "__main__":
    main()
