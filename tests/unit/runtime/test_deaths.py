"""When a model's processes have died too often."""

from onnxd.runtime.deaths import Deaths
from onnxd.runtime.worker_process import DEATH_KINDS, Death

CRASH = Death("its process was killed by signal 8 (SIGFPE)", "SIGFPE")


def test_every_kind_is_counted_from_zero() -> None:
    assert Deaths().counts == dict.fromkeys(DEATH_KINDS, 0)


def test_four_deaths_in_a_minute_are_borne_and_the_fifth_is_not() -> None:
    deaths = Deaths()
    for second in range(4):
        deaths.record(CRASH, float(second))
        assert deaths.verdict == ""
    deaths.record(CRASH, 60.0)
    assert "died 5 times within 60 s" in deaths.verdict
    assert "signal 8 (SIGFPE)" in deaths.verdict
    assert deaths.counts["SIGFPE"] == 5


def test_deaths_that_lie_further_apart_are_borne_for_ever() -> None:
    deaths = Deaths()
    for number in range(50):
        deaths.record(CRASH, number * 15.1)
    assert deaths.verdict == ""
    assert deaths.counts["SIGFPE"] == 50
