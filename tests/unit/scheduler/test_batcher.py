"""The batcher's rules, in virtual time."""

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from onnxd.errors import (
    DeadlineExceeded,
    ModelUnavailable,
    QueueFull,
    QueueTimeout,
    TensorMismatch,
)
from onnxd.messages import InferRequest
from onnxd.scheduler.batch import Rows
from onnxd.scheduler.item import Item
from onnxd.scheduler.policy import BatchPolicy
from onnxd.tensors import Array
from tests.support.batching import Scene, result
from tests.support.virtual_time import HeldRunner, InlineRunner


async def test_requests_read_in_one_turn_of_the_loop_share_a_batch() -> None:
    scene = Scene()
    await scene.send()
    await scene.send(2)
    scene.clock.turn()
    assert scene.runs == [3]


async def test_requests_collect_while_the_instance_is_busy_and_run_when_it_frees() -> None:
    scene = Scene()
    await scene.send()
    scene.clock.turn()
    await scene.send()
    await scene.send()
    scene.clock.settle()
    assert scene.runs == [1]
    scene.runners[0].runs[0].finish()
    scene.clock.settle()
    assert scene.runs == [1, 2]


async def test_each_request_gets_its_own_rows_back() -> None:
    scene = Scene()
    first = await scene.send(2, value=1.0)
    second = await scene.send(1, value=5.0)
    scene.clock.turn()
    scene.runners[0].runs[0].finish()
    assert (await result(first)).tolist() == [[2, 2], [2, 2]]
    assert (await result(second)).tolist() == [[10, 10]]


async def test_a_request_alone_in_its_batch_is_passed_on_without_a_copy() -> None:
    scene = Scene()
    array = np.ones((1, 2), np.float32)
    task = asyncio.ensure_future(scene.batcher.submit(InferRequest("m", {"x": array}), 1, ("y",)))
    await asyncio.sleep(0)
    scene.clock.turn()
    assert scene.runners[0].runs[0].inputs["x"] is array
    scene.runners[0].runs[0].finish()
    await result(task)


async def test_a_batch_is_not_larger_than_the_maximum_number_of_rows() -> None:
    scene = Scene(max_rows=4)
    for _ in range(3):
        await scene.send(3)
    scene.clock.turn()
    scene.runners[0].runs[0].finish()
    scene.clock.settle()
    assert scene.runs == [3, 3]


async def test_one_shape_does_not_end_the_batch_of_another() -> None:
    scene = Scene()
    for width in (2, 3, 2, 3):
        await scene.send(width=width)
    scene.clock.turn()
    scene.runners[0].runs[0].finish()
    scene.clock.settle()
    assert [run.inputs["x"].shape for run in scene.runners[0].runs] == [(2, 2), (2, 3)]


async def test_requests_for_different_outputs_do_not_share_a_run() -> None:
    scene = Scene()
    await scene.send(outputs=("y",))
    await scene.send(outputs=("z",))
    scene.clock.turn()
    assert scene.runners[0].runs[0].outputs == ("y",)
    assert scene.runs == [1]


async def test_a_second_instance_takes_what_comes_while_the_first_is_busy() -> None:
    scene = Scene(HeldRunner(), HeldRunner())
    await scene.send()
    scene.clock.turn()
    await scene.send()
    scene.clock.turn()
    assert [len(runner.runs) for runner in scene.runners] == [1, 1]


async def test_an_inline_run_gives_the_loop_a_turn_before_the_next() -> None:
    scene = Scene(InlineRunner(), max_rows=1)
    await scene.send()
    await scene.send()
    scene.clock.turn()
    assert scene.runs == [1]
    scene.clock.turn()
    assert scene.runs == [1, 1]


async def test_a_delay_is_counted_from_the_oldest_arrival() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_delay=0.010))
    await scene.send()
    scene.clock.settle()
    scene.clock.advance(0.006)
    await scene.send()
    scene.clock.settle()
    assert scene.runs == []
    scene.clock.advance(0.004)
    assert scene.runs == [2]


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_size=2))
    await scene.send()
    scene.clock.turn()
    await scene.send()
    await scene.send()
    with pytest.raises(QueueFull, match=r"2 requests wait \(batching.max_queue_size\)") as refusal:
        await (await scene.send())
    assert refusal.value.retry_after_s == 1.0


async def test_a_queue_is_bounded_in_bytes_too() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_bytes=100))
    await scene.send(byte_size=60)
    with pytest.raises(QueueFull, match="100 bytes of requests wait"):
        await (await scene.send(byte_size=60))


async def test_a_request_larger_than_the_byte_bound_is_taken_when_nothing_waits() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_bytes=100))
    await scene.send(byte_size=1000)
    scene.clock.turn()
    assert scene.runs == [1]


async def test_a_request_that_waits_past_its_deadline_leaves_the_queue_and_never_runs() -> None:
    scene = Scene()
    await scene.send()
    scene.clock.turn()
    late = await scene.send(deadline_s=0.5)
    scene.clock.advance(0.5)
    with pytest.raises(DeadlineExceeded, match="while waiting for 'm'"):
        await result(late)
    scene.runners[0].runs[0].finish()
    scene.clock.settle()
    assert scene.runs == [1]


async def test_a_deadline_that_passes_while_running_ends_the_wait() -> None:
    scene = Scene()
    late = await scene.send(deadline_s=0.5)
    scene.clock.turn()
    scene.clock.advance(0.5)
    with pytest.raises(DeadlineExceeded, match="while running 'm'"):
        await result(late)
    scene.runners[0].runs[0].finish()


async def test_a_deadline_that_has_passed_already_is_refused() -> None:
    scene = Scene()
    with pytest.raises(DeadlineExceeded, match="before it could be queued"):
        await (await scene.send(deadline_s=0.0))


async def test_a_queue_timeout_is_the_server_being_busy_not_the_callers_deadline() -> None:
    scene = Scene(policy=BatchPolicy(default_timeout=0.2))
    await scene.send()
    scene.clock.turn()
    late = await scene.send(deadline_s=5.0)
    scene.clock.advance(0.2)
    with pytest.raises(QueueTimeout, match="longer than its queue timeout"):
        await result(late)


async def test_where_timeouts_are_the_models_a_requests_own_counts_for_nothing() -> None:
    scene = Scene(policy=BatchPolicy(default_timeout=0.2, allow_timeout_override=False))
    await scene.send()
    scene.clock.turn()
    hasty, patient = await scene.send(queue_timeout_s=0.1), await scene.send(queue_timeout_s=9.0)
    scene.clock.advance(0.15)
    assert not hasty.done()
    scene.clock.advance(0.05)
    for late in (hasty, patient):
        with pytest.raises(QueueTimeout):
            await result(late)


async def test_a_queue_timeout_says_nothing_of_a_run_in_progress() -> None:
    scene = Scene()
    slow = await scene.send(queue_timeout_s=0.2, deadline_s=5.0)
    scene.clock.turn()
    scene.clock.advance(1.0)
    assert not slow.done()
    scene.clock.advance(4.0)
    with pytest.raises(DeadlineExceeded):
        await result(slow)


async def test_a_cancelled_request_frees_its_place_at_once() -> None:
    scene = Scene()
    await scene.send()
    scene.clock.turn()
    gone = await scene.send()
    gone.cancel()
    await asyncio.sleep(0)
    assert scene.batcher.waiting_requests == 0


async def test_a_request_cancelled_while_running_does_not_harm_its_batch_mates() -> None:
    scene = Scene()
    gone = await scene.send(value=1.0)
    mate = await scene.send(value=5.0)
    scene.clock.turn()
    gone.cancel()
    await asyncio.sleep(0)
    scene.runners[0].runs[0].finish()
    assert (await result(mate)).tolist() == [[10, 10]]


async def test_a_run_that_fails_says_so_to_its_request_and_the_next_one_runs() -> None:
    scene = Scene()
    first = await scene.send()
    scene.clock.turn()
    scene.runners[0].runs[0].fail(TensorMismatch("no"))
    with pytest.raises(TensorMismatch):
        await result(first)
    second = await scene.send()
    scene.clock.settle()
    scene.runners[0].runs[1].finish()
    assert (await result(second)).tolist() == [[2, 2]]


async def test_closing_fails_what_waits_and_waits_for_what_runs() -> None:
    scene = Scene()
    running = await scene.send()
    scene.clock.turn()
    waiting = await scene.send()
    closing = asyncio.ensure_future(scene.batcher.aclose("is being unloaded"))
    await asyncio.sleep(0)
    with pytest.raises(ModelUnavailable, match="model 'm' is being unloaded"):
        await result(waiting)
    assert not closing.done()
    scene.runners[0].runs[0].finish()
    await closing
    assert (await result(running)).tolist() == [[2, 2]]


async def test_a_closed_batcher_refuses_with_its_reason() -> None:
    scene = Scene()
    await scene.batcher.aclose("is being unloaded")
    with pytest.raises(ModelUnavailable, match="is being unloaded"):
        await (await scene.send())


async def test_a_bug_in_a_models_loop_makes_that_model_unavailable_with_a_reason() -> None:
    class Broken(HeldRunner):
        def start(self, *_: object) -> None:
            raise LookupError("a bug")

    scene = Scene(Broken())
    waiting = await scene.send()
    with pytest.raises(LookupError):
        scene.clock.turn()
    with pytest.raises(ModelUnavailable, match=r"stopped after an internal error \(LookupError\)"):
        await result(waiting)
    assert scene.batcher.broken == "stopped after an internal error (LookupError); load it again"


async def test_a_batcher_that_broke_while_it_stacked_can_be_closed() -> None:
    class Broken(Rows):
        def stack(self, items: Sequence[Item]) -> Mapping[str, Array]:
            raise LookupError("a bug")

    scene = Scene(form=Broken())
    assert scene.batcher.broken == ""
    waiting = await scene.send()
    with pytest.raises(LookupError):
        scene.clock.turn()
    with pytest.raises(ModelUnavailable):
        await result(waiting)
    await scene.batcher.aclose("is being unloaded")
    assert scene.batcher.broken != ""


async def test_statistics_count_rows_runs_and_requests_and_add_up() -> None:
    scene = Scene()
    answers = [await scene.send(2), await scene.send(1)]
    scene.clock.turn()
    scene.runners[0].runs[0].finish()
    for answer in answers:
        await result(answer)
    counted = scene.statistics.snapshot()
    assert (counted.inference_count, counted.execution_count, counted.success.count) == (3, 1, 2)
    assert [batch.batch_size for batch in counted.batches] == [3]
    parts = counted.queue, counted.compute_input, counted.compute_infer, counted.compute_output
    assert sum(part.ns for part in parts) <= counted.success.ns


async def test_a_model_that_does_not_batch_counts_one_row_a_request() -> None:
    scene = Scene(max_rows=0)
    answer = await scene.send()
    await scene.send()
    scene.clock.turn()
    scene.runners[0].runs[0].finish()
    await result(answer)
    assert scene.statistics.snapshot().batches[0].batch_size == 1
