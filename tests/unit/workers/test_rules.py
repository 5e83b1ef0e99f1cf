"""The small decisions around workers: restarts, standing in, shares, what newcomers are told."""

from dataclasses import replace

import pytest

from onnxd.http_frontend.config import HttpConfig
from onnxd.inference import InferenceConfig
from onnxd.runtime.thread_shares import ThreadConfig
from onnxd.security.rate_config import Allowance, RateConfig, read_allowance
from onnxd.settings.server_settings import ServerSettings
from onnxd.workers.count import of_one_worker, worker_count
from onnxd.workers.cover import covering
from onnxd.workers.deaths import Deaths
from onnxd.workers.relay import from_json, to_json
from onnxd.workers.standing import LOG, REGISTER, TRACE, UNREGISTER, Standing
from onnxd.workers.worker import Begin


def test_each_death_in_a_minute_waits_longer_and_the_fifth_is_the_last() -> None:
    deaths = Deaths()
    delays = [deaths.note(float(second)) for second in range(5)]
    assert delays[0] == 0.0
    assert delays[4] is None
    known = [delay for delay in delays if delay is not None]
    assert known == sorted(known)


def test_deaths_that_are_long_ago_do_not_count() -> None:
    deaths = Deaths()
    assert all(deaths.note(second * 16.0) is not None for second in range(50))


def test_those_who_listen_share_the_places_of_those_who_are_away() -> None:
    assert covering([], 3) == {}
    assert covering([0, 1, 2], 3) == {}
    assert covering([1], 3) == {0: 1, 2: 1}
    assert covering([3, 0], 4) == {1: 0, 2: 3}


def test_bounds_are_divided_and_none_becomes_no_bound() -> None:
    settings = replace(
        ServerSettings(),
        inference=InferenceConfig(max_in_flight=10, max_in_flight_bytes=-1),
        http=HttpConfig(max_connections=1),
        threads=ThreadConfig(budget=8),
        rate=RateConfig(
            per_second=9.0,
            burst=1,
            principals={"a": "per_second:30 burst:2", "bad": "nonsense"},
            models={"m": 7, "*": 0},
        ),
    )
    one = of_one_worker(settings, 3)
    assert (one.inference.max_in_flight, one.inference.max_in_flight_bytes) == (4, -1)
    assert (one.http.max_connections, one.threads.budget) == (1, 2)
    assert (one.rate.per_second, one.rate.burst, one.rate.models) == (3.0, 1, {"m": 3, "*": 0})
    assert read_allowance("a", one.rate.principals["a"], Allowance()) == Allowance(10.0, 1, 0)
    assert one.rate.principals["bad"] == "nonsense"


def test_a_share_of_a_share_that_is_no_whole_number_is_still_one() -> None:
    settings = replace(ServerSettings(), rate=RateConfig(per_second=0.5), threads=ThreadConfig(budget=1))
    one = of_one_worker(settings, 4)
    assert (one.rate.per_second, one.threads.budget) == (0.125, 1)


def test_workers_are_as_many_as_the_setting_says_or_as_there_are_cpus() -> None:
    assert worker_count(replace(ServerSettings(), workers=3)) == 3
    assert worker_count(replace(ServerSettings(), workers=0)) >= 1


def test_settings_reach_a_worker_as_they_are() -> None:
    begin = Begin(replace(ServerSettings(), workers=2), {"http": [[3], [4]]})
    assert from_json(Begin, to_json(Begin, begin)) == begin


REGION = {"principal": "p", "name": "r", "wanted": ["/k", 0, 8], "local": True}


@pytest.mark.parametrize("name", ["r", None])
def test_a_newcomer_is_told_what_holds_and_not_how_it_came_about(name: str | None) -> None:
    standing = Standing()
    standing.note(TRACE, {"model": "m", "change": {"rate": 5}})
    standing.note(TRACE, {"model": "m", "change": {"rate": None, "count": 3}})
    standing.note(LOG, {"change": {"info": False}})
    standing.note(LOG, {"change": {"info": True}})
    standing.note(REGISTER, REGION)
    assert list(standing.changes()) == [
        (TRACE, {"model": "m", "change": {"rate": None, "count": 3}}),
        (LOG, {"change": {"info": True}}),
        (REGISTER, REGION),
    ]
    standing.note(UNREGISTER, {"principal": "other", "name": name})
    assert (REGISTER, REGION) in standing.changes()
    standing.note(UNREGISTER, {"principal": "p", "name": name})
    assert (REGISTER, REGION) not in standing.changes()
