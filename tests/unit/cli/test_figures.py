"""Rates and quantiles out of two moments."""

from typing import Any

import pytest

from onnxd.cli.figures import activities, quantile
from onnxd_client import Moment

BOUNDS: dict[str, list[float]] = {"seconds": [0.001, 0.01, 0.1], "rows": [1, 2]}


def moment(time_s: float, *models: dict[str, Any]) -> Moment:
    return Moment({"time_s": time_s, "models": list(models)}, BOUNDS)


def model(answered: int, executions: int, counts: list[int], **more: Any) -> dict[str, Any]:
    times = {"counts": counts, "sum": 0.0}
    return {
        "name": "m", "version": "1", "state": "READY", "answered": answered, "failed": {}, "rows": answered,
        "executions": executions, "waiting": 0, "busy": 1, "request_times": times, "queue_times": times,
    } | more  # fmt: skip


def test_rates_are_of_the_time_between_the_moments() -> None:
    before, after = model(100, 50, [100, 0, 0, 0]), model(300, 100, [100, 200, 0, 0], failed={"REJECTED": 4})
    (seen,) = activities(moment(10.0, before), moment(12.0, after))
    assert (seen.requests_s, seen.failures_s) == (100.0, 2.0)
    assert seen.mean_rows == 4.0
    assert seen.p50_s == pytest.approx(0.0055)


def test_a_version_that_was_loaded_again_has_begun_anew() -> None:
    (seen,) = activities(
        moment(10.0, model(100, 50, [100, 0, 0, 0])), moment(11.0, model(3, 3, [3, 0, 0, 0]))
    )
    assert seen.requests_s == 3.0
    assert seen.mean_rows == 1.0


def test_of_a_version_that_does_not_serve_there_is_its_state_and_its_reason() -> None:
    broken = {"name": "b", "version": "1", "state": "UNAVAILABLE", "reason": "no graph"}
    (seen,) = activities(moment(1.0), moment(2.0, broken))
    assert (seen.state, seen.reason, seen.requests_s, seen.p99_s) == ("UNAVAILABLE", "no graph", None, None)


@pytest.mark.parametrize(
    ("counts", "median"),
    [([0, 0, 0, 0], None), ([2, 0, 0, 0], 0.0005), ([1, 1, 0, 0], 0.001), ([0, 0, 0, 5], 0.1)],
    ids=["nothing", "within the first", "at a bound", "beyond the last"],
)
def test_a_quantile_lies_straight_within_its_bucket(counts: list[int], median: float | None) -> None:
    assert quantile(0.5, [0.001, 0.01, 0.1], counts) == median
