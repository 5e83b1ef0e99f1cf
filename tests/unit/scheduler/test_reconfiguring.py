"""Settings that change while requests wait and run."""

import pytest

from onnxd.errors import QueueFull, QueueTimeout
from onnxd.scheduler.policy import BatchPolicy
from tests.support.batching import Scene, result, turns
from tests.support.virtual_time import HeldRunner


async def test_a_shorter_delay_counts_for_what_waits_already() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_delay=10.0))
    await scene.send()
    scene.clock.settle()
    scene.clock.advance(0.5)
    scene.batcher.reconfigure(BatchPolicy(max_queue_delay=0.1))
    scene.clock.settle()
    assert scene.runs == [1]


async def test_a_delay_that_is_switched_off_lets_go_of_what_it_held() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_delay=10.0))
    await scene.send()
    scene.clock.settle()
    scene.batcher.reconfigure(BatchPolicy())
    scene.clock.settle()
    assert scene.runs == [1]


async def test_a_smaller_queue_refuses_what_comes_and_keeps_what_waits() -> None:
    scene = Scene()
    await scene.busy()
    waiting = [await scene.send() for _ in range(3)]
    scene.batcher.reconfigure(BatchPolicy(max_queue_size=1))
    with pytest.raises(QueueFull):
        await (await scene.send())
    scene.free(0)
    scene.free(1)
    for answer in waiting:
        await result(answer)


async def test_what_waits_keeps_the_timeout_that_it_came_with() -> None:
    scene = Scene(policy=BatchPolicy(default_timeout=0.1))
    await scene.busy()
    early = await scene.send()
    scene.batcher.reconfigure(BatchPolicy(default_timeout=5.0))
    later = await scene.send()
    scene.clock.advance(0.2)
    await turns()
    assert (early.done(), later.done()) == (True, False)
    with pytest.raises(QueueTimeout):
        await result(early)


async def test_what_waits_keeps_its_level_when_there_are_no_more_levels() -> None:
    scene = Scene(max_rows=1, policy=BatchPolicy(priority_levels=3))
    await scene.busy()
    await scene.send(value=3, priority=3)
    scene.batcher.reconfigure(BatchPolicy())
    await scene.send(value=1)
    scene.free(0)
    scene.free(1)
    assert [scene.values(place) for place in (1, 2)] == [[1], [3]]


async def test_a_run_in_progress_is_not_disturbed() -> None:
    scene = Scene()
    running = await scene.busy()
    scene.batcher.reconfigure(BatchPolicy(max_queue_delay=1.0, preferred_sizes=(4,), preserve_ordering=True))
    assert scene.runners[0].terminated == 0
    scene.free()
    await result(running)


async def test_an_order_that_is_not_kept_any_more_lets_go_of_what_it_held() -> None:
    scene = Scene(HeldRunner(), HeldRunner(), policy=BatchPolicy(preserve_ordering=True))
    first = await scene.send()
    scene.clock.settle()
    second = await scene.send()
    scene.clock.settle()
    scene.free()  # the later one
    scene.batcher.reconfigure(BatchPolicy())
    await result(second)
    scene.runners[1].runs[0].finish()
    await result(first)


async def test_an_order_is_kept_of_what_comes_after_it_was_wished() -> None:
    scene = Scene(HeldRunner(), HeldRunner(), HeldRunner())
    answers = [await scene.send()]
    scene.clock.settle()
    scene.batcher.reconfigure(BatchPolicy(preserve_ordering=True))
    for _ in range(2):
        answers.append(await scene.send())
        scene.clock.settle()
    scene.free()  # the last one
    await turns()
    assert [answer.done() for answer in answers] == [False, False, False]
    scene.runners[1].runs[0].finish()
    await result(answers[1])
    await result(answers[2])
    assert not answers[0].done()
    scene.runners[2].runs[0].finish()
    await result(answers[0])
