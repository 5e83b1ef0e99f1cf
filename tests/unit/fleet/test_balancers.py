"""Who has the next request, by what each way knows."""

from collections import Counter
from collections.abc import Sequence

import pytest

from benchmarks.fleet_sim.balancers import (
    AtRandom,
    Balancer,
    Ejecting,
    LeastOutstanding,
    Pinned,
    PowerOfTwo,
    RoundRobin,
)


def following(balancer: Balancer, members: Sequence[int]) -> Balancer:
    balancer.follow(members)
    return balancer


def chosen(balancer: Balancer, count: int, client: int = 0, now_s: float = 0.0) -> list[int]:
    return [balancer.choose(client, now_s) for _ in range(count)]


def test_round_robin_gives_each_its_turn_and_every_client_a_turn_of_its_own() -> None:
    balancer = following(RoundRobin(seed=1), range(4))
    for client in range(20):
        assert Counter(chosen(balancer, 8, client)) == dict.fromkeys(range(4), 2)
    assert len({balancer.choose(client, 0.0) for client in range(20)}) > 1


def test_the_least_busy_has_the_next_request_and_newcomers_count_as_idle() -> None:
    balancer = following(LeastOutstanding(), [7, 8])
    for _ in range(2):
        balancer.began(0, balancer.choose(0, 0.0))
    balancer.ended(0, 8)
    assert chosen(balancer, 3) == [8, 8, 8]
    balancer.began(0, 8)
    balancer.follow([7, 8, 9])
    assert chosen(balancer, 3) == [9, 9, 9]


def test_what_ends_on_a_replica_that_is_gone_is_nobodys_trouble() -> None:
    balancer = following(LeastOutstanding(), [1, 2])
    balancer.began(0, 1)
    balancer.follow([2])
    balancer.ended(0, 1)
    balancer.follow([1, 2])
    assert set(chosen(balancer, 50)) == {1, 2}


def test_of_two_the_less_busy_is_chosen() -> None:
    balancer = following(PowerOfTwo(), [1, 2])
    balancer.began(0, 1)
    assert set(chosen(balancer, 20)) == {2}


def test_apart_each_client_sees_its_own_requests_only() -> None:
    balancer = following(PowerOfTwo(apart=True), [1, 2])
    balancer.began(0, 1)
    assert set(chosen(balancer, 20, client=0)) == {2}
    assert set(chosen(balancer, 50, client=1)) == {1, 2}


@pytest.mark.parametrize("make", [AtRandom, RoundRobin, PowerOfTwo, LeastOutstanding])
def test_one_replica_has_everything(make: type[AtRandom]) -> None:
    assert set(chosen(following(make(), [5]), 5)) == {5}


def test_a_pinned_client_stays_until_its_connection_is_old_or_breaks() -> None:
    balancer = following(Pinned(100.0, seed=2), range(50))
    (first,) = set(chosen(balancer, 9))
    balancer.follow([99])
    assert balancer.choose(0, 0.0) == first
    assert balancer.choose(0, 111.0) == 99
    balancer.follow([3])
    balancer.broken(0, 1)
    assert balancer.choose(0, 112.0) == 99
    balancer.broken(0, 99)
    assert balancer.choose(0, 113.0) == 3


def test_a_replica_whose_connection_broke_has_no_requests_for_a_while() -> None:
    balancer = following(Ejecting(AtRandom(), 10.0), [1, 2])
    balancer.choose(0, 5.0)
    balancer.broken(0, 1)
    assert set(chosen(balancer, 20, now_s=14.9)) == {2}
    assert set(chosen(balancer, 50, now_s=15.0)) == {1, 2}


def test_when_all_are_out_all_are_in() -> None:
    balancer = following(Ejecting(AtRandom(), 10.0), [1, 2])
    balancer.broken(0, 1)
    balancer.broken(0, 2)
    assert set(chosen(balancer, 50)) == {1, 2}
