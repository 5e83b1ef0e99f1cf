"""How many replicas the engines' figures ask for, as Ray's own autoscaling calls the policy."""

from typing import Any

import pytest

from onnxd.ray_serve.scaling import QueuePolicy

pytest.importorskip("ray.serve", reason="needs the extra 'ray'")


@pytest.mark.parametrize(
    ("queue_time_s", "busy_share", "wanted"),
    [
        pytest.param(0.0, 0.7, 4.0, id="as-busy-as-it-should-be"),
        pytest.param(0.0, 0.35, 2.0, id="half-as-busy"),
        pytest.param(0.0, 0.0, 0.0, id="idle"),
        pytest.param(0.0, 1.0, 4 / 0.7, id="busy-and-nobody-waits"),
        pytest.param(0.03, 0.7, 6.0, id="half-as-long-again-in-the-queue"),
        pytest.param(5.0, 1.0, 8.0, id="a-queue-that-grows-doubles-at-most"),
        pytest.param(0.015, 0.1, 4.0, id="some-wait-so-none-is-taken-away"),
    ],
)
def test_four_replicas_become(queue_time_s: float, busy_share: float, wanted: float) -> None:
    assert QueuePolicy().wanted(4, queue_time_s, busy_share) == pytest.approx(wanted)


@pytest.mark.parametrize(
    "targets", [{"target_queue_time_s": 0.0}, {"target_busy_share": 0.0}, {"target_busy_share": 1.5}]
)
def test_a_target_that_is_none_is_refused(targets: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected more than 0"):
        QueuePolicy(**targets)


def context(figures: dict[str, dict[str, float]], *, running: int = 2, target: int = 3) -> Any:
    from ray.serve.config import AutoscalingContext

    return AutoscalingContext(
        deployment_id=None,
        deployment_name="onnxd",
        app_name="onnxd",
        current_num_replicas=running,
        target_num_replicas=target,
        running_replicas=[],
        total_num_requests=0,
        total_queued_requests=0,
        aggregated_metrics=figures,
        raw_metrics={},
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=8,
        policy_state={},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=None,
        config=None,
    )


def test_the_figures_of_replicas_are_averaged() -> None:
    figures = {
        "onnxd_queue_time_s": {"a": 0.02, "b": 0.04},
        "onnxd_busy_share": {"a": 0.7, "b": 0.7},
        "onnxd_waiting_requests": {"a": 3.0, "b": 9.0},
    }
    replicas, state = QueuePolicy()(context(figures))
    assert replicas == pytest.approx(3.0)
    assert state == {}


@pytest.mark.parametrize("running", [0, 2])
def test_without_figures_nothing_changes(running: int) -> None:
    assert QueuePolicy()(context({}, running=running)) == (3, {})
