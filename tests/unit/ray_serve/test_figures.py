"""Counters that only grow, as figures of the time between two readings."""

from dataclasses import replace

from onnxd.ray_serve import scaling
from onnxd.ray_serve.figures import BUSY, QUEUE_TIME, WAITING, Figures
from onnxd.telemetry.observation import VersionObservation
from onnxd.telemetry.statistics import BatchStatistics, Duration, StatisticsSnapshot

MS = 1_000_000


def observed(
    *,
    queued: int = 0,
    queue_ns: int = 0,
    run_ns: int = 0,
    pending: int = 0,
    instances: int = 1,
    model: str = "m",
) -> VersionObservation:
    ran = BatchStatistics(1, Duration(), Duration(queued, run_ns), Duration())
    counters = replace(StatisticsSnapshot(), queue=Duration(queued, queue_ns), batches=(ran,))
    return VersionObservation(model, 1, counters, pending, 0, {"inline": instances}, 0.0)


def test_the_first_reading_knows_what_waits_and_nothing_of_time() -> None:
    now = observed(queued=5, queue_ns=50 * MS, run_ns=30 * MS, pending=2)
    assert Figures().read([now], 1000 * MS) == {WAITING: 2.0, QUEUE_TIME: 0.0, BUSY: 0.0}


def test_a_reading_is_of_the_time_since_the_last_one() -> None:
    figures = Figures()
    figures.read([observed(queued=5, queue_ns=50 * MS, run_ns=30 * MS)], 0)
    read = figures.read([observed(queued=9, queue_ns=90 * MS, run_ns=55 * MS)], 100 * MS)
    assert read == {WAITING: 0.0, QUEUE_TIME: 0.010, BUSY: 0.25}


def test_time_is_shared_by_the_instances() -> None:
    figures = Figures()
    figures.read([observed(instances=2)], 0)
    assert figures.read([observed(run_ns=100 * MS, instances=2)], 100 * MS)[BUSY] == 0.5


def test_a_queue_that_nothing_leaves_is_as_old_as_the_reading() -> None:
    figures = Figures()
    figures.read([observed(pending=3)], 0)
    assert figures.read([observed(pending=3)], 500 * MS)[QUEUE_TIME] == 0.5


def test_the_model_that_is_worst_off_counts() -> None:
    figures = Figures()
    figures.read([observed(), observed(model="n")], 0)
    calm = observed(queued=1000, run_ns=10 * MS)
    full = observed(queued=2, queue_ns=80 * MS, run_ns=90 * MS, pending=4, model="n")
    assert figures.read([calm, full], 100 * MS) == {WAITING: 4.0, QUEUE_TIME: 0.040, BUSY: 0.9}


def test_a_version_that_is_new_is_counted_from_its_beginning() -> None:
    figures = Figures()
    figures.read([], 0)
    assert figures.read([observed(queued=1, queue_ns=7 * MS)], 100 * MS)[QUEUE_TIME] == 0.007


def test_the_policy_reads_what_replicas_record() -> None:
    """It is sent to Ray's controller by value, so it has the names for itself."""
    assert (scaling._QUEUE_TIME, scaling._BUSY) == (QUEUE_TIME, BUSY)
