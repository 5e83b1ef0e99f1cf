"""Which request a bucket names."""

from onnxd.messages import Execution, Origin, Timeline
from onnxd.telemetry.exemplars import BATCH_ROWS, COMPUTE_TIMES, QUEUE_TIMES, REQUEST_TIMES, Exemplars, merged

MS = 1_000_000


def answered(waited_ms: int, ran_ms: int, rows: int = 1, version: int = 1) -> Timeline:
    execution = Execution(Origin("m", version), rows, 1, "full")
    return Timeline(
        1, queue_start_ns=MS, compute_start_ns=(1 + waited_ms) * MS,
        compute_end_ns=(1 + waited_ms + ran_ms) * MS, batch_rows=rows, executions=(execution,),
    )  # fmt: skip


def kept(*recorded: tuple[Timeline, str]) -> Exemplars:
    clock = iter(range(1, 100))
    exemplars = Exemplars(lambda: next(clock))
    for timeline, trace_id in recorded:
        exemplars.record(timeline, trace_id, "5")
    return exemplars


def test_a_request_is_named_in_each_of_its_histograms() -> None:
    found = kept((answered(2, 30, rows=8), "a")).snapshot([("m", 1)])["m", 1]
    assert {name: [(each.value, each.trace_id) for each in found[name].values()] for name in found} == {
        REQUEST_TIMES: [(32 * MS, "a")],
        QUEUE_TIMES: [(2 * MS, "a")],
        COMPUTE_TIMES: [(30 * MS, "a")],
        BATCH_ROWS: [(8, "a")],
    }


def test_the_last_one_in_a_bucket_is_named_and_the_others_stay() -> None:
    exemplars = kept((answered(0, 30), "a"), (answered(0, 31), "b"), (answered(0, 300), "c"))
    found = exemplars.snapshot([("m", 1)])["m", 1][COMPUTE_TIMES]
    assert [each.trace_id for each in found.values()] == ["b", "c"]


def test_those_of_versions_that_no_longer_serve_are_forgotten() -> None:
    exemplars = kept((answered(0, 1, version=1), "a"), (answered(0, 1, version=2), "b"))
    assert set(exemplars.snapshot([("m", 2), ("m", 3)])) == {("m", 2)}
    assert exemplars.snapshot([("m", 1)]) == {}


def test_of_a_request_that_was_never_run_there_is_none() -> None:
    assert kept((Timeline(1, queue_start_ns=2), "a")).snapshot([("m", 1)]) == {}


def test_of_two_processes_the_later_is_named() -> None:
    early, late = (kept(*[(answered(0, 30), name)] * times) for name, times in (("a", 1), ("b", 2)))
    for left, right in ((early, late), (late, early)):
        both = merged(left.snapshot([("m", 1)]), right.snapshot([("m", 1)]))
        assert [each.trace_id for each in both["m", 1][COMPUTE_TIMES].values()] == ["b"]
