"""The HorizontalPodAutoscaler's rule, against examples worked out by hand."""

from collections.abc import Sequence

import pytest

from benchmarks.fleet_sim.autoscaler import Autoscaler, ChangePolicy, Direction, Hpa, desired
from benchmarks.fleet_sim.scaled import IN_FLIGHT, QUEUE_MS, manifest


@pytest.mark.parametrize(
    ("current", "values", "absent", "replicas"),
    [
        (4, [200.0] * 4, 0, 8),
        (4, [50.0] * 4, 0, 2),
        (4, [109.0] * 4, 0, 4),
        (4, [91.0] * 4, 0, 4),
        (4, [111.0] * 4, 0, 5),
        (3, [100.0, 50.0, 0.0], 0, 2),
        # Two that start count as idle: (2 * 300) / 4 = 150 of 100, so six of four and not of two.
        (4, [300.0, 300.0], 2, 6),
        # With them it is 90: within the tolerance.
        (4, [180.0, 180.0], 2, 4),
        # And here it would be fewer, which those that start must not bring about.
        (4, [140.0, 140.0], 2, 4),
        # Fewer are wanted, and those without a value count as exactly busy: (2 * 20 + 2 * 100) / 4 = 60.
        (4, [20.0, 20.0], 2, 3),
        (4, [], 4, 4),
    ],
)
def test_replicas_are_current_times_value_by_target(
    current: int, values: Sequence[float], absent: int, replicas: int
) -> None:
    assert desired(current, values, 100.0, absent=absent) == replicas


PODS = ChangePolicy("Pods", 4, 60.0)
DOUBLE = ChangePolicy("Percent", 100, 60.0)


def scaler(
    up_s: float = 0.0, down_s: float = 0.0, policies: Sequence[ChangePolicy] = (PODS, DOUBLE)
) -> Autoscaler:
    behavior = (Direction(up_s, policies), Direction(down_s, policies))
    return Autoscaler(Hpa({"x": 1.0}, 1, 100, *behavior))


def decided(autoscaler: Autoscaler, now_s: float, current: int, wanted: int) -> int:
    return autoscaler.decide(now_s, current, {"x": [wanted / current] * current}, 0)


def test_the_widest_policy_bounds_a_change() -> None:
    assert decided(scaler(), 0.0, 2, 50) == 6
    assert decided(scaler(), 0.0, 10, 50) == 20
    assert decided(scaler(policies=[PODS]), 0.0, 10, 50) == 14
    assert decided(scaler(policies=[PODS]), 0.0, 50, 10) == 46
    assert decided(scaler(policies=[ChangePolicy("Percent", 10, 60.0)]), 0.0, 50, 10) == 45


def test_within_a_period_only_what_is_left_of_it_may_change() -> None:
    autoscaler = scaler()
    assert decided(autoscaler, 0.0, 10, 15) == 15
    assert decided(autoscaler, 15.0, 15, 50) == 20
    assert decided(autoscaler, 30.0, 20, 50) == 20
    assert decided(autoscaler, 60.0, 20, 50) == 30  # there were 15 when the period began


def test_it_shrinks_to_the_most_that_was_wanted_within_the_window() -> None:
    autoscaler = scaler(down_s=300.0)
    assert decided(autoscaler, 0.0, 10, 8) == 10 - 2
    assert decided(autoscaler, 15.0, 8, 3) == 8
    assert decided(autoscaler, 299.0, 8, 3) == 8
    assert decided(autoscaler, 316.0, 8, 3) == 3


def test_it_grows_to_the_least_that_was_wanted_within_the_window() -> None:
    autoscaler = scaler(up_s=60.0)
    assert decided(autoscaler, 0.0, 10, 12) == 12
    assert decided(autoscaler, 15.0, 12, 20) == 12
    assert decided(autoscaler, 75.0, 12, 20) == 20


def test_of_several_metrics_the_one_that_wants_most_counts() -> None:
    behavior = Direction(0.0, [DOUBLE])
    autoscaler = Autoscaler(Hpa({"x": 1.0, "y": 10.0}, 1, 100, behavior, behavior))
    assert autoscaler.decide(0.0, 4, {"x": [0.1] * 4, "y": [15.0] * 4}, 0) == 6


def test_it_never_leaves_its_bounds() -> None:
    behavior = Direction(0.0, [ChangePolicy("Percent", 900, 60.0), ChangePolicy("Pods", 100, 60.0)])
    autoscaler = Autoscaler(Hpa({"x": 1.0}, 2, 5, behavior, behavior))
    assert decided(autoscaler, 0.0, 4, 50) == 5
    assert decided(autoscaler, 100.0, 5, 1) == 2


def test_the_shipped_manifest_is_what_is_simulated() -> None:
    hpa = manifest()
    assert set(hpa.targets) == {IN_FLIGHT, QUEUE_MS}
    assert (hpa.least, hpa.up.window_s, hpa.down.window_s) == (2, 0, 300)
    assert [policy.kind for policy in (*hpa.up.policies, *hpa.down.policies)] == [
        "Percent",
        "Pods",
        "Pods",
        "Percent",
    ]
