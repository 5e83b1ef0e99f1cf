"""Answers that leave in the order in which their requests came."""

import asyncio

import pytest

from onnxd.errors import DeadlineExceeded, ExecutionFailed, ModelUnavailable, QueueFull
from onnxd.scheduler.policy import BatchPolicy
from onnxd.telemetry.statistics import FailureReason
from tests.support.batching import Answer, Scene, result, turns
from tests.support.virtual_time import HeldRunner

IN_ORDER = BatchPolicy(preserve_ordering=True)


async def two_runs(policy: BatchPolicy = IN_ORDER) -> tuple[Scene, Answer, Answer]:
    """Two instances, each with a request: the first runner of the scene has the later one."""
    scene = Scene(HeldRunner(), HeldRunner(), policy=policy)
    first = await scene.send(value=1.0)
    scene.clock.settle()
    second = await scene.send(value=2.0)
    scene.clock.settle()
    return scene, first, second


def finish(scene: Scene, runner: int) -> None:
    scene.runners[runner].runs[0].finish()
    scene.clock.settle()


async def test_an_answer_waits_for_those_that_came_before_it() -> None:
    scene, first, second = await two_runs()
    finish(scene, 0)
    await turns()
    assert not second.done()
    finish(scene, 1)
    assert (await result(first)).tolist() == [[2, 2]]
    assert (await result(second)).tolist() == [[4, 4]]


async def test_without_it_an_answer_leaves_when_it_is_there() -> None:
    scene, first, second = await two_runs(BatchPolicy())
    finish(scene, 0)
    await result(second)
    assert not first.done()


async def test_an_instance_that_has_answered_early_goes_on_with_the_next() -> None:
    scene, _, _ = await two_runs()
    await scene.send()
    finish(scene, 0)
    assert scene.runs == [1, 1]


async def test_a_failure_waits_for_its_turn_as_well() -> None:
    scene, first, second = await two_runs()
    scene.runners[0].runs[0].fail(ExecutionFailed("no"))
    await turns()
    assert not second.done()
    finish(scene, 1)
    await result(first)
    with pytest.raises(ExecutionFailed, match="no"):
        await result(second)


async def test_a_failure_does_not_hold_up_those_behind_it() -> None:
    scene, first, second = await two_runs()
    finish(scene, 0)
    scene.runners[1].runs[0].fail(ExecutionFailed("no"))
    with pytest.raises(ExecutionFailed, match="no"):
        await result(first)
    await result(second)


async def test_a_batch_that_is_bisected_holds_up_what_came_later() -> None:
    scene = Scene(policy=IN_ORDER)
    order: list[Answer] = []
    answers = [await scene.send(value=value) for value in (1, 2, 3, 4)]
    for answer in answers:
        answer.add_done_callback(order.append)
    scene.clock.settle()
    runs = scene.runners[0].runs
    runs[0].fail(ExecutionFailed("no"))
    scene.clock.settle()
    runs[1].fail(ExecutionFailed("no"))  # 1 and 2
    scene.clock.settle()
    runs[2].finish()  # 3 and 4
    scene.clock.settle()
    await turns()
    assert order == []
    runs[3].finish()
    scene.clock.settle()
    runs[4].fail(ExecutionFailed("no"))
    await turns()
    assert order == answers
    with pytest.raises(ExecutionFailed):
        await result(answers[1])


async def test_a_caller_that_leaves_holds_nobody_up() -> None:
    scene, first, second = await two_runs()
    finish(scene, 0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await result(second)


async def test_an_expired_request_ends_at_once_and_holds_nobody_up() -> None:
    scene = Scene(HeldRunner(), HeldRunner(), policy=IN_ORDER)
    first = await scene.send(deadline_s=0.5)
    scene.clock.settle()
    second = await scene.send(deadline_s=9.0)
    scene.clock.settle()
    finish(scene, 0)
    scene.clock.advance(0.5)
    with pytest.raises(DeadlineExceeded):
        await result(first)
    await result(second)


async def test_a_deadline_ends_the_wait_for_ones_turn() -> None:
    scene = Scene(HeldRunner(), HeldRunner(), policy=IN_ORDER)
    first = await scene.send()
    scene.clock.settle()
    second = await scene.send(deadline_s=0.5)
    scene.clock.settle()
    finish(scene, 0)
    scene.clock.advance(0.5)
    with pytest.raises(DeadlineExceeded):
        await result(second)
    finish(scene, 1)
    await result(first)
    counted = scene.statistics.snapshot()
    assert counted.success.count == 1
    assert counted.failures[FailureReason.CANCELED] == 1


async def test_answers_that_wait_for_their_turn_count_against_the_queues_bounds() -> None:
    scene, _, _ = await two_runs(BatchPolicy(preserve_ordering=True, max_queue_size=1))
    finish(scene, 0)
    with pytest.raises(QueueFull):
        await (await scene.send())


async def test_their_bytes_do_too() -> None:
    scene, _, _ = await two_runs(BatchPolicy(preserve_ordering=True, max_queue_bytes=10))
    finish(scene, 0)
    with pytest.raises(QueueFull, match="10 bytes"):
        await (await scene.send(byte_size=8))
    finish(scene, 1)
    await scene.send(byte_size=8)


async def test_closing_lets_out_what_waits_for_its_turn() -> None:
    scene, first, second = await two_runs()
    third = await scene.send()
    finish(scene, 0)
    closing = asyncio.ensure_future(scene.batcher.aclose("is being unloaded"))
    await turns()
    finish(scene, 1)
    scene.runners[0].runs[-1].finish()
    await closing
    await result(first)
    await result(second)
    await asyncio.gather(third, return_exceptions=True)


async def test_a_request_that_is_refused_when_the_model_closes_holds_nobody_up() -> None:
    scene = Scene(HeldRunner(), policy=IN_ORDER, max_rows=1)
    running = await scene.busy()
    waiting = await scene.send()
    closing = asyncio.ensure_future(scene.batcher.aclose("is being unloaded"))
    await turns()
    with pytest.raises(ModelUnavailable):
        await result(waiting)
    finish(scene, 0)
    await closing
    await result(running)
