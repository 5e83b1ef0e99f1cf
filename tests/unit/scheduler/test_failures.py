"""Every request that comes to a queue is counted once: as a success, or as a failure with its reason."""

import asyncio
import random
from collections.abc import Mapping, Sequence

import pytest

from onnxd.errors import ExecutionFailed, ModelUnavailable, QueueFull, ServerError, TensorMismatch
from onnxd.scheduler.batch import Rows
from onnxd.scheduler.item import Item
from onnxd.scheduler.policy import BatchPolicy
from onnxd.telemetry.statistics import FailureReason
from onnxd.tensors import Array
from tests.support.batching import Answer, Scene
from tests.support.virtual_time import HeldRunner

FAULTS = (ExecutionFailed("no"), ModelUnavailable("no memory"), LookupError("a bug"))
"""Of a run: the first has its batch bisected."""


def reasons(scene: Scene) -> dict[FailureReason, int]:
    """Those that have been counted."""
    return {why: count for why, count in scene.statistics.snapshot().failures.items() if count}


async def ended(answer: Answer) -> None:
    """Wait for a request that is not to be answered."""
    with pytest.raises((ServerError, asyncio.CancelledError)):
        await answer


async def test_a_full_queue_rejects() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_size=1))
    await scene.send()
    await ended(await scene.send())
    assert reasons(scene) == {FailureReason.REJECTED: 1}


async def test_parts_of_a_failed_batch_that_wait_to_be_run_again_fill_the_queue() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_size=4, max_queue_bytes=100))
    again = [await scene.send(byte_size=20) for _ in range(4)]
    scene.clock.settle()
    scene.runners[0].runs[0].fail(ExecutionFailed("no"))
    scene.clock.settle()
    assert scene.batcher.waiting_requests == 2
    taken = [await scene.send(byte_size=30), await scene.send(byte_size=10)]
    with pytest.raises(QueueFull, match="4 requests wait"):
        await (await scene.send(byte_size=1))
    taken[1].cancel()
    await asyncio.sleep(0)
    with pytest.raises(QueueFull, match="100 bytes of requests wait"):
        await (await scene.send(byte_size=31))
    for answer in (*again, taken[0]):
        answer.cancel()


async def test_a_deadline_that_had_passed_before_is_a_rejection() -> None:
    scene = Scene()
    await ended(await scene.send(deadline_s=0.0))
    assert reasons(scene) == {FailureReason.REJECTED: 1}


async def test_a_queue_timeout_rejects() -> None:
    scene = Scene()
    await scene.send()
    scene.clock.turn()
    late = await scene.send(queue_timeout_s=0.1)
    scene.clock.advance(0.2)
    await ended(late)
    assert reasons(scene) == {FailureReason.REJECTED: 1}


async def test_a_deadline_that_passes_in_the_queue_rejects() -> None:
    scene = Scene()
    await scene.send()
    scene.clock.turn()
    late = await scene.send(deadline_s=0.1)
    scene.clock.advance(0.2)
    await ended(late)
    assert reasons(scene) == {FailureReason.REJECTED: 1}


async def test_a_deadline_that_passes_while_the_model_runs_is_a_caller_that_gave_up() -> None:
    scene = Scene()
    late = await scene.send(deadline_s=0.1)
    scene.clock.turn()
    scene.clock.advance(0.2)
    await ended(late)
    scene.runners[0].runs[0].finish()
    assert reasons(scene) == {FailureReason.CANCELED: 1}


async def test_closing_rejects_what_waits_and_what_comes() -> None:
    scene = Scene()
    running = await scene.send()
    scene.clock.turn()
    waiting = await scene.send()
    closing = asyncio.ensure_future(scene.batcher.aclose("is being unloaded"))
    await asyncio.sleep(0)
    await ended(waiting)
    await ended(await scene.send())
    scene.runners[0].runs[0].finish()
    await closing
    await running
    assert reasons(scene) == {FailureReason.REJECTED: 2}


async def test_a_caller_that_leaves_while_it_waits_is_counted_with_the_time_it_waited() -> None:
    scene = Scene()
    await scene.send()
    scene.clock.turn()
    gone = await scene.send()
    gone.cancel()
    await ended(gone)
    assert reasons(scene) == {FailureReason.CANCELED: 1}
    assert scene.statistics.snapshot().fail.ns > 0


async def test_a_caller_that_leaves_while_the_model_runs_is_counted_once() -> None:
    scene = Scene()
    gone = await scene.send()
    scene.clock.turn()
    gone.cancel()
    await ended(gone)
    scene.runners[0].runs[0].finish()
    assert reasons(scene) == {FailureReason.CANCELED: 1}
    assert scene.statistics.snapshot().success.count == 0


async def test_a_caller_that_leaves_when_its_answer_is_there_already_has_been_answered() -> None:
    scene = Scene()
    gone = await scene.send()
    scene.clock.turn()
    scene.runners[0].runs[0].finish()
    gone.cancel()
    await ended(gone)
    assert reasons(scene) == {}
    assert scene.statistics.snapshot().success.count == 1


async def test_a_caller_that_leaves_when_its_request_has_failed_already_is_counted_as_that_failure() -> None:
    scene = Scene()
    gone = await scene.send()
    scene.clock.turn()
    scene.runners[0].runs[0].fail(ExecutionFailed("no"))
    gone.cancel()
    await ended(gone)
    assert reasons(scene) == {FailureReason.BACKEND: 1}


@pytest.mark.parametrize("error", [ExecutionFailed("no"), TensorMismatch("no")], ids=["fault", "tensors"])
async def test_a_run_that_fails_is_the_backends_failure(error: ServerError) -> None:
    scene = Scene()
    answer = await scene.send()
    scene.clock.turn()
    scene.runners[0].runs[0].fail(error)
    await ended(answer)
    assert reasons(scene) == {FailureReason.BACKEND: 1}


async def test_a_bug_is_another_failure() -> None:
    class Broken(HeldRunner):
        def start(self, *_: object) -> None:
            raise LookupError("a bug")

    scene = Scene(Broken())
    answer = await scene.send()
    with pytest.raises(LookupError):
        scene.clock.turn()
    await ended(answer)
    assert reasons(scene) == {FailureReason.OTHER: 1}


async def test_no_memory_for_a_batch_is_another_failure() -> None:
    class TooBig(Rows):
        def stack(self, items: Sequence[Item]) -> Mapping[str, Array]:
            raise MemoryError

    scene = Scene(form=TooBig())
    answer = await scene.send()
    scene.clock.turn()
    with pytest.raises(ModelUnavailable, match="no memory"):
        await answer
    assert reasons(scene) == {FailureReason.OTHER: 1}


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_each_request_is_counted_once(seed: int) -> None:
    chance = random.Random(seed)
    scene = Scene(max_rows=4, policy=BatchPolicy(max_queue_size=6))
    answers: list[Answer] = []
    runner = scene.runners[0]
    unfinished = 0
    for _ in range(80):
        match chance.randrange(6):
            case 0 | 1:
                answers.append(await scene.send(deadline_s=chance.choice([None, 0.0, 0.1, 0.3])))
            case 2 if answers:
                chance.choice(answers).cancel()
            case 3:
                scene.clock.advance(0.1)
            case 4:
                scene.clock.settle()
            case 5 if unfinished < len(runner.runs):
                run = runner.runs[unfinished]
                unfinished += 1
                run.finish() if chance.random() < 0.7 else run.fail(chance.choice(FAULTS))
        await asyncio.sleep(0)
    scene.clock.advance(1.0)
    closing = asyncio.ensure_future(scene.batcher.aclose("is being unloaded"))
    await asyncio.sleep(0)
    for run in runner.runs[unfinished:]:
        run.finish()
    assert scene.batcher.waiting_requests == 0
    await closing
    await asyncio.gather(*answers, return_exceptions=True)
    counted = scene.statistics.snapshot()
    assert counted.success.count + counted.fail.count == len(answers)
    assert counted.fail.count == sum(counted.failures.values())
    assert counted.request_times.count == counted.queue_times.count == counted.success.count
