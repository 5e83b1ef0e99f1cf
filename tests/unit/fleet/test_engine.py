"""Replicas in virtual time: no request is lost or made up, and theory and the real scheduler agree."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.fleet_sim import spread
from benchmarks.fleet_sim.agreement import MOST_S, farthest_s
from benchmarks.fleet_sim.balancers import (
    AtRandom,
    Balancer,
    Ejecting,
    LeastOutstanding,
    PowerOfTwo,
    RoundRobin,
)
from benchmarks.fleet_sim.callers import Callers
from benchmarks.fleet_sim.engine import Fleet, Traffic, batch_rows
from benchmarks.fleet_sim.failures import lose
from benchmarks.fleet_sim.loads import climbing, daily, steady, stepped, unequal, varying
from benchmarks.fleet_sim.measure import Service, read
from benchmarks.fleet_sim.scaled import IN_FLIGHT, Scaling, manifest
from onnxd.scheduler.line import Line
from onnxd_client.retry import RetryPolicy

TEN_MS = Service("slow", "10 ms, one at a time", Line(0.010, 0.0), 1)
BATCHED = Service("batched", "4 + 0.5 ms a row", Line(0.004, 0.0005), 32)


def at(*seconds: float) -> Traffic:
    return Traffic(np.array(seconds), np.zeros(len(seconds), np.int64))


def test_requests_wait_for_the_run_before_them() -> None:
    result = Fleet(TEN_MS, RoundRobin(), 1).run(at(0.0, 0.001, 0.002))
    assert result.latencies_s == pytest.approx([0.010, 0.019, 0.028])


def test_what_waits_shares_the_next_run() -> None:
    result = Fleet(BATCHED, RoundRobin(), 1).run(at(0.0, 0.001, 0.002))
    assert result.latencies_s == pytest.approx([0.0045, 0.0085, 0.0075])


@pytest.mark.parametrize("name", ["mlp", "image", "text"])
def test_each_request_takes_as_long_as_with_the_servers_own_scheduler(name: str) -> None:
    service = read().services[name]
    traffic = steady(0.8 * 3 * service.capacity, 200, clients=4)
    assert farthest_s(service, PowerOfTwo(3), PowerOfTwo(3), 3, traffic) < MOST_S


def test_the_wait_of_a_queue_without_batches_is_that_of_theory() -> None:
    assert spread.theory(spread.Length((1,), 2_000, 1)).misses == []


def test_a_service_batches_up_to_its_knee() -> None:
    assert batch_rows(BATCHED) == 32
    assert batch_rows(Service("rows", "all in the rows", Line(0.0, 0.010), 32)) < 5


@pytest.mark.parametrize("make", [AtRandom, RoundRobin, PowerOfTwo, LeastOutstanding])
def test_every_request_is_answered_once(make: Callable[[], Balancer]) -> None:
    result = Fleet(BATCHED, make(), 5).run(steady(3000, 2000, clients=7))
    assert (result.lost, result.failures, result.tries, sum(result.offered)) == (0, 0, 2000, 2000)


def test_a_full_queue_refuses_and_the_rest_is_answered() -> None:
    result = Fleet(TEN_MS, RoundRobin(), 1, max_queue_size=2).run(at(0.0, 0.001, 0.002, 0.003, 0.004))
    assert np.isnan(result.latencies_s).tolist() == [False, False, False, True, True]
    assert (result.failures, result.percentile_ms(99)) == (2, float("inf"))


def test_a_death_costs_what_is_there_and_retries_hide_it() -> None:
    for callers, lost in ((None, 3), (Callers(RetryPolicy(base=0.1)), 0)):
        fleet = Fleet(TEN_MS, Ejecting(RoundRobin(), 100.0), 2, callers=callers)
        fleet.at(0.0035, lambda fleet=fleet: fleet.kill(fleet.replicas[:1]))  # type: ignore[misc]
        result = fleet.run(at(0.0, 0.0005, 0.001, 0.0015, 0.002, 0.003))
        assert (result.lost, result.failures) == (lost, 3)
        assert len(result.latencies_s) + result.failures == result.tries or callers is None


def test_what_is_lost_is_noticed_and_replaced() -> None:
    fleet = Fleet(TEN_MS, RoundRobin(), 3, zones=3)
    lose(fleet, fleet.replicas[:1], 1.0, 2.0)
    result = fleet.run(steady(100, 1000))
    assert [each.number for each in fleet.members] == [1, 2, 3]
    assert result.offered[3] > 0
    assert 0 < result.lost < 1000 * 0.2
    assert fleet.replicas[0].ended_s == 1.0


def test_one_that_leaves_answers_what_it_has() -> None:
    fleet = Fleet(TEN_MS, RoundRobin(), 2)
    fleet.at(0.0025, lambda: fleet.dismiss(fleet.replicas[:1]))
    result = fleet.run(at(0.0, 0.001, 0.002, 0.003, 0.004))
    assert (result.lost, result.failures) == (0, 0)


def test_a_fleet_grows_under_load_and_shrinks_after_it() -> None:
    fleet = Fleet(TEN_MS, PowerOfTwo(), 2)
    scaling = Scaling(fleet, manifest(), 5.0)
    result = fleet.run(varying(stepped(20, 220, 60.0, 180.0), 220, 500.0))
    sizes = [size for _, size in scaling.sizes]
    assert max(sizes) > 2
    assert sizes[-1] < max(sizes)
    assert result.lost == 0
    assert result.replica_s < max(sizes) * 500.0
    assert IN_FLIGHT in manifest().targets


def test_loads_are_what_they_are_called_and_the_same_every_time() -> None:
    once, again = (varying(stepped(10, 100, 10.0, 20.0), 100, 30.0, shares=unequal(3)) for _ in range(2))
    assert once.at_s.tolist() == again.at_s.tolist()
    busy = ((once.at_s >= 10) & (once.at_s < 20)).sum()
    assert 850 < busy < 1150
    assert 100 < len(once.at_s) - busy < 300
    assert (once.clients == 0).sum() > (once.clients == 2).sum()
    times = np.array([0.0, 50.0, 100.0])
    assert daily(1, 9, 100.0)(times) == pytest.approx([1, 9, 1])
    assert climbing(1, 4, 0.0, 75.0)(np.array([0.0, 25.0, 50.0, 74.0, 76.0])).tolist() == [1, 2.5, 4, 4, 1]
