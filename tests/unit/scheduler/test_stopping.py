"""A run that nobody waits for any more is asked to end."""

import asyncio

import pytest

from onnxd.errors import DeadlineExceeded, ExecutionFailed
from onnxd.telemetry.statistics import FailureReason
from tests.support.batching import Answer, Scene, result
from tests.support.virtual_time import HeldRunner


async def leave(answer: Answer) -> None:
    answer.cancel()
    await asyncio.gather(answer, return_exceptions=True)


async def test_the_run_of_a_caller_that_has_gone_is_ended() -> None:
    scene = Scene()
    gone = await scene.busy()
    await leave(gone)
    assert scene.runners[0].terminated == 1


async def test_the_run_of_a_request_whose_deadline_has_passed_is_ended() -> None:
    scene = Scene()
    late = await scene.send(deadline_s=0.5)
    scene.clock.settle()
    scene.clock.advance(0.5)
    with pytest.raises(DeadlineExceeded, match="while running"):
        await result(late)
    assert scene.runners[0].terminated == 1


async def test_a_run_is_not_ended_while_somebody_waits_for_it() -> None:
    scene = Scene()
    gone, mate = await scene.send(), await scene.send(value=5.0)
    scene.clock.settle()
    await leave(gone)
    assert scene.runners[0].terminated == 0
    scene.free()
    assert (await result(mate)).tolist() == [[10, 10]]


async def test_a_batch_is_ended_when_the_last_of_its_callers_has_gone() -> None:
    scene = Scene()
    answers = [await scene.send(), await scene.send()]
    scene.clock.settle()
    for answer in answers:
        await leave(answer)
    assert scene.runners[0].terminated == 1


async def test_only_the_runner_of_that_request_is_told() -> None:
    scene = Scene(HeldRunner(), HeldRunner())
    first = await scene.busy()
    second = await scene.send()
    scene.clock.settle()
    await leave(first)
    assert sorted(runner.terminated for runner in scene.runners) == [0, 1]
    assert not second.done()


async def test_a_caller_that_leaves_the_queue_ends_no_run() -> None:
    scene = Scene()
    await scene.busy()
    await leave(await scene.send())
    assert scene.runners[0].terminated == 0


async def test_a_run_that_was_ended_is_not_run_again_and_the_next_one_is() -> None:
    scene = Scene()
    gone = [await scene.send(), await scene.send()]
    scene.clock.settle()
    waiting = await scene.send()
    for answer in gone:
        await leave(answer)
    scene.runners[0].runs[0].fail(ExecutionFailed("ended"))
    scene.clock.settle()
    assert scene.runs == [2, 1]
    scene.free(1)
    await result(waiting)
    counted = scene.statistics.snapshot()
    assert counted.failures[FailureReason.CANCELED] == 2
    assert (counted.success.count, counted.bisections) == (1, 0)
