"""What counts as slow."""

import random

from onnxd.telemetry.slowness import Slowness

MS = 1_000_000


def test_a_limit_that_is_set_holds_from_the_first_request_on() -> None:
    slowness = Slowness(10 * MS)
    assert [slowness.is_slow(took * MS) for took in (9, 10, 11, 200)] == [False, False, True, True]
    assert slowness.known_ns == 10 * MS


def test_nothing_is_slow_before_there_is_something_to_compare_with() -> None:
    slowness = Slowness()
    assert not any(slowness.is_slow(took) for took in range(1, 101))
    assert slowness.known_ns == 100


def test_about_one_request_of_a_hundred_is_slow() -> None:
    slowness, dice = Slowness(), random.Random(7)
    times = [round(MS * dice.lognormvariate(0, 0.5)) for _ in range(40_000)]
    slow = [slowness.is_slow(took) for took in times]
    assert 0.005 < sum(slow[10_000:]) / 30_000 < 0.02


def test_the_limit_follows_the_requests_up_and_down() -> None:
    slowness = Slowness()
    for took in [MS] * 2_000 + [100 * MS] * 2_000:
        slowness.is_slow(took)
    up = slowness.known_ns
    assert up is not None
    assert 90 * MS < up < 110 * MS
    for _ in range(20_000):
        slowness.is_slow(MS)
    assert slowness.known_ns is not None
    assert slowness.known_ns < 2 * MS
