"""Short forms of `benchmarks/reload.py`, which does the same a thousand times."""

from collections import Counter

import pytest

from benchmarks import reload_rename, reload_root, reload_storm, reload_swap
from benchmarks.harness import Resources
from benchmarks.reload_rename import Plan, Reloads

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


async def test_reloads_by_rename_at_half_load_fail_no_request() -> None:
    found = await reload_rename.reload_by_rename(Plan(20, memory_from=20, requests=2_000, calibrate_s=0.5))
    assert reload_rename.judge(found) == []
    assert found.done == 20


async def test_a_server_that_leaks_is_noticed() -> None:
    found = await reload_rename.reload_by_rename(Plan(50, memory_from=15, calibrate_s=0.5, leaky=True))
    assert not found.failures
    assert [miss for miss in reload_rename.judge(found) if miss.startswith("memory grew to ")]


async def test_no_answer_is_of_two_sets_of_files() -> None:
    found = await reload_swap.swap_and_write(8)
    assert reload_swap.judge(found) == []
    assert (found.swaps, found.writes) == (8, 8)


def test_a_storm_of_loads_and_unloads_ends_live_and_ready() -> None:
    found = reload_storm.storm(threads=16, rounds=8)
    assert reload_storm.judge(found) == []
    assert found.calls.total() == 2 * 16 * 8 + 1


async def test_a_repository_that_goes_away_takes_nothing_along() -> None:
    found = await reload_root.lose_the_root(pause_s=0.4)
    assert reload_root.judge(found) == []
    assert len(found.answered) == 7


def looks(*numbers: tuple[int, int, int, int]) -> dict[int, Resources]:
    return {number: Resources(memory, files, threads) for number, memory, files, threads in numbers}


@pytest.mark.parametrize(
    ("found", "miss"),
    [
        (Reloads(Plan(2, 1), 1), "only 1 of 2 reloads"),
        (Reloads(Plan(1, 1, requests=9), 1, 8), "only 8 of 9 requests"),
        (Reloads(Plan(1, 1), 1, failures={"UNAVAILABLE": 3}), "3 x UNAVAILABLE"),
        (Reloads(Plan(2, 1), 2, looks=looks((1, 1000, 5, 5), (2, 1021, 5, 5))), "memory grew to 102.1 %"),
        (Reloads(Plan(2, 1), 2, looks=looks((1, 1, 5, 5), (2, 1, 8, 5))), "descriptors grew from 5"),
        (Reloads(Plan(2, 1), 2, looks=looks((1, 1, 5, 5), (2, 1, 5, 8))), "threads grew from 5"),
    ],
)
def test_what_must_hold_is_missed_where_it_does_not(found: Reloads, miss: str) -> None:
    assert [each for each in reload_rename.judge(found) if each.startswith(miss)]


def test_what_holds_is_no_miss() -> None:
    found = Reloads(Plan(2, 1), 2, looks=looks((1, 1000, 5, 5), (2, 1020, 7, 7)))
    assert reload_rename.judge(found) == []


def test_a_storm_that_ends_wrong_is_a_miss() -> None:
    calls = Counter({"HTTP load 200": 1, "gRPC load UNKNOWN oops": 2})
    misses = reload_storm.judge(reload_storm.Storm(calls, published=5, live=True, ready=False, last=4.0))
    assert misses == [
        "2 x gRPC load UNKNOWN oops",
        "no HTTP unload 200",
        "no gRPC load OK",
        "no gRPC unload OK",
        "at the end live is True and ready is False",
        "the last load serves 4, published was 5",
    ]


def test_a_root_that_took_something_along_is_a_miss() -> None:
    found = reload_root.RootGone({"whole": 5, "emptied": 0}, {"404": 2})
    assert reload_root.judge(found) == [
        "2 x 404",
        "no request was answered while it was emptied",
        "nothing was reloaded any more afterwards",
    ]


def test_a_mixed_answer_is_a_miss() -> None:
    found = reload_swap.Swaps(2, 2, 1, failures={"a mixed pair": 1}, loads=9)
    assert reload_swap.judge(found) == [
        "1 x a mixed pair",
        "only 1 of 2 writes in the time there was",
        "9 loads of 5 publications",
    ]
