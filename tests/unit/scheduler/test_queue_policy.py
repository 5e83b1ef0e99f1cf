"""Levels and queue timeouts, as pure functions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.queue_policy import QueuePolicy, level_of


@pytest.mark.parametrize(
    ("priority", "level"),
    [(0, 2), (1, 1), (3, 3), (4, 2), (2**64 - 1, 2)],
    ids=["none", "highest", "lowest", "beyond the levels", "the biggest number there is"],
)
def test_a_priority_that_is_no_level_is_the_default_one(priority: int, level: int) -> None:
    assert level_of(priority, levels=3, default_level=2) == level


def test_without_a_default_the_lowest_level_is_it() -> None:
    assert level_of(0, levels=3, default_level=0) == 3


@pytest.mark.parametrize("levels", [0, 1])
def test_without_levels_all_requests_are_of_one(levels: int) -> None:
    assert {level_of(priority, levels, 0) for priority in (0, 1, 2, 9)} == {1}


@pytest.mark.parametrize(
    ("default_s", "own_s", "allowed", "timeout_s"),
    [
        (2.0, 1.0, True, 1.0),
        (2.0, 3.0, True, 2.0),
        (2.0, None, True, 2.0),
        (0.0, 3.0, True, 3.0),
        (0.0, None, True, 0.0),
        (2.0, 1.0, False, 2.0),
        (0.0, 1.0, False, 0.0),
    ],
    ids=[
        "a shorter one counts",
        "a longer one does not",
        "the default is for those that say nothing",
        "any counts where there is no default",
        "none at all",
        "a shorter one that is not allowed",
        "one that is not allowed where there is no default",
    ],
)
def test_a_requests_own_timeout_counts_where_it_may_and_is_the_shorter(
    default_s: float, own_s: float | None, allowed: bool, timeout_s: float
) -> None:
    policy = QueuePolicy(default_timeout=default_s, allow_timeout_override=allowed)
    assert policy.timeout_s(own_s) == timeout_s


@given(default_s=st.floats(0, 10), own_s=st.none() | st.floats(0, 10), allowed=st.booleans())
def test_nobody_waits_longer_than_the_default_where_there_is_one(
    default_s: float, own_s: float | None, allowed: bool
) -> None:
    timeout_s = QueuePolicy(default_timeout=default_s, allow_timeout_override=allowed).timeout_s(own_s)
    assert not default_s or 0 < timeout_s <= default_s


def test_a_level_without_a_policy_of_its_own_waits_as_all_do() -> None:
    own = QueuePolicy(max_queue_size=1)
    policy = BatchPolicy(max_queue_size=9, default_timeout=2.0, priority_levels=3, priorities={2: own})
    usual = QueuePolicy(max_queue_size=9, default_timeout=2.0)
    assert policy.levels() == (usual, own, usual)


def test_there_is_always_one_level() -> None:
    assert BatchPolicy(timeout_action="delay").levels() == (QueuePolicy(timeout_action="delay"),)
