"""Levels: who goes first, and how many of each may wait."""

import pytest

from onnxd.errors import QueueFull
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.queue_policy import QueuePolicy
from tests.support.batching import Scene

LEVELS = BatchPolicy(priority_levels=3, default_priority=2)


async def test_a_higher_level_goes_first_and_those_of_one_as_they_came() -> None:
    scene = Scene(max_rows=1, policy=LEVELS)
    await scene.busy()
    for value, priority in ((1, 3), (2, 0), (3, 1), (4, 2), (5, 1), (6, 9)):
        await scene.send(value=value, priority=priority)
    for place in range(7):
        scene.free(place)
    order = [scene.values(place) for place in range(1, 7)]
    assert order == [[3], [5], [2], [4], [6], [1]]


async def test_lower_levels_fill_the_batch_of_a_higher_one() -> None:
    scene = Scene(max_rows=4, policy=LEVELS)
    await scene.busy()
    for value, priority in ((1, 3), (2, 1), (3, 2), (4, 3), (5, 1)):
        await scene.send(value=value, priority=priority)
    scene.free()
    assert scene.values(1) == [2, 5, 3, 1]


async def test_the_most_urgent_request_decides_which_shape_goes_first() -> None:
    scene = Scene(policy=LEVELS)
    await scene.busy()
    await scene.send(width=2, priority=2)
    await scene.send(width=3, priority=1)
    scene.free()
    assert scene.runners[0].runs[1].inputs["x"].shape == (1, 3)


async def test_without_levels_a_priority_changes_nothing() -> None:
    scene = Scene(max_rows=1)
    await scene.busy()
    await scene.send(value=1, priority=2)
    await scene.send(value=2, priority=1)
    scene.free()
    assert scene.values(1) == [1]


async def test_each_level_has_places_of_its_own() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_size=2, priority_levels=2, priorities={1: QueuePolicy(1)}))
    await scene.busy()
    await scene.send(priority=2)
    await scene.send(priority=2)
    with pytest.raises(QueueFull, match=r"2 requests of priority 2 wait \(batching.max_queue_size\)"):
        await (await scene.send(priority=2))
    await scene.send(priority=1)
    with pytest.raises(
        QueueFull, match=r"1 requests of priority 1 wait \(batching.priorities.1.max_queue_size\)"
    ):
        await (await scene.send(priority=1))


async def test_bytes_are_counted_over_all_levels() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_bytes=100, priority_levels=2))
    await scene.busy()
    await scene.send(priority=2, byte_size=60)
    with pytest.raises(QueueFull, match="100 bytes"):
        await (await scene.send(priority=1, byte_size=60))


async def test_a_delay_counts_from_the_oldest_arrival_of_whatever_level() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_delay=0.010, priority_levels=2))
    await scene.send(value=1, priority=2)
    scene.clock.settle()
    scene.clock.advance(0.006)
    await scene.send(value=2, priority=1)
    scene.clock.advance(0.004)
    assert scene.values(0) == [2, 1]
