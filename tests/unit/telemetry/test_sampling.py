"""How many are passed by when a share is looked at."""

import pytest

from onnxd.telemetry.sampling import gaps_at_random


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1, 0.01])
def test_on_average_the_share_is_looked_at(share: float) -> None:
    gaps = gaps_at_random(share)
    assert gaps is not None
    looked = 4000
    passed = sum(gaps() for _ in range(looked))
    assert abs(looked / (looked + passed) / share - 1) < 0.2  # over twelve standard deviations


def test_of_none_there_is_nothing_to_look_at() -> None:
    assert gaps_at_random(0.0) is None


def test_one_in_more_than_there_will_be_is_passed_by_for_ever() -> None:
    gaps = gaps_at_random(5e-324)
    assert gaps is not None
    assert gaps() >= 0
