"""Queue timeouts and deadlines: refused, delayed, or never held back for so long."""

import asyncio

import pytest

from onnxd.errors import DeadlineExceeded, QueueTimeout
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.queue_policy import QueuePolicy
from onnxd.telemetry.statistics import FailureReason
from tests.support.batching import Scene, result, turns

DELAYS = BatchPolicy(default_timeout=0.1, timeout_action="delay")


async def test_a_delayed_request_is_run_after_those_that_have_not_waited_too_long() -> None:
    scene = Scene(max_rows=1, policy=DELAYS)
    await scene.busy()
    late = await scene.send(value=1)
    scene.clock.advance(0.2)
    await scene.send(value=2)
    scene.free(0)
    scene.free(1)
    scene.free(2)
    assert [scene.values(place) for place in (1, 2)] == [[2], [1]]
    assert (await result(late)).tolist() == [[2, 2]]


async def test_a_delayed_request_fills_a_batch_that_has_room() -> None:
    scene = Scene(max_rows=2, policy=DELAYS)
    await scene.busy()
    await scene.send(value=1)
    scene.clock.advance(0.2)
    await scene.send(value=2)
    scene.free(0)
    assert scene.values(1) == [2, 1]


async def test_a_delayed_request_still_has_its_own_deadline() -> None:
    scene = Scene(policy=DELAYS)
    await scene.busy()
    late = await scene.send(deadline_s=0.5)
    scene.clock.advance(0.4)
    await turns()
    assert not late.done()
    scene.clock.advance(0.1)
    with pytest.raises(DeadlineExceeded, match="while waiting for"):
        await result(late)
    assert scene.batcher.waiting_requests == 0


async def test_a_delayed_request_keeps_its_place_among_the_waiting() -> None:
    scene = Scene(policy=DELAYS)
    await scene.busy()
    await scene.send()
    scene.clock.advance(0.2)
    (group,) = scene.batcher.waiting()
    assert (group.requests, group.delayed) == (1, True)


async def test_a_requests_own_timeout_counts_where_it_is_the_shorter_one() -> None:
    scene = Scene(policy=BatchPolicy(default_timeout=0.2))
    await scene.busy()
    hasty, patient = await scene.send(queue_timeout_s=0.1), await scene.send(queue_timeout_s=9.0)
    scene.clock.advance(0.1)
    await turns()
    assert (hasty.done(), patient.done()) == (True, False)
    scene.clock.advance(0.1)
    for late in (hasty, patient):
        with pytest.raises(QueueTimeout):
            await result(late)


async def test_each_level_has_its_own_timeout_and_its_own_way_with_the_late() -> None:
    policy = BatchPolicy(
        default_timeout=0.1,
        priority_levels=2,
        priorities={1: QueuePolicy(default_timeout=0.3, timeout_action="delay")},
    )
    scene = Scene(policy=policy)
    await scene.busy()
    high, low = await scene.send(priority=1), await scene.send(priority=2)
    scene.clock.advance(0.1)
    await turns()
    assert (high.done(), low.done()) == (False, True)
    scene.clock.advance(1.0)
    await turns()
    assert not high.done()
    with pytest.raises(QueueTimeout):
        await result(low)
    scene.free()
    assert scene.runs == [1, 1]


async def test_what_expires_on_a_busy_loop_is_found_before_the_batch_is_built() -> None:
    scene = Scene()
    await scene.busy()
    late = await scene.send(deadline_s=0.5)
    in_time = await scene.send(value=3.0, deadline_s=5.0)
    scene.clock.pass_by(1.0)  # no timer fires
    scene.free()
    assert scene.values(1) == [3]
    with pytest.raises(DeadlineExceeded, match="while waiting for"):
        await result(late)
    scene.free(1)
    await result(in_time)


async def test_a_timeout_on_a_busy_loop_is_found_too() -> None:
    scene = Scene(policy=BatchPolicy(default_timeout=0.5))
    await scene.busy()
    late = await scene.send()
    scene.clock.pass_by(1.0)
    scene.free()
    assert scene.runs == [1]
    with pytest.raises(QueueTimeout):
        await result(late)


async def test_a_delay_does_not_hold_a_request_back_for_more_than_half_of_its_time() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_delay=10.0))
    await scene.send(deadline_s=9.0)
    await scene.send(deadline_s=1.0)
    scene.clock.settle()
    scene.clock.advance(0.4)
    assert scene.runs == []
    scene.clock.advance(0.1)
    assert scene.runs == [2]
    scene.free()
    assert [batch.cut for batch in scene.batcher.last_batches()] == ["deadline"]


async def test_a_delay_that_is_longer_than_the_queue_timeout_does_not_refuse_everybody() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_delay=10.0, default_timeout=0.2))
    answer = await scene.send()
    scene.clock.settle()
    scene.clock.advance(0.2)
    scene.free()
    await result(answer)


async def test_a_caller_that_leaves_frees_its_place_in_whichever_line_it_stands() -> None:
    scene = Scene(policy=BatchPolicy(default_timeout=0.1, timeout_action="delay", priority_levels=2))
    await scene.busy()
    gone = [await scene.send(priority=level) for level in (1, 2)]
    scene.clock.advance(0.2)
    for answer in gone:
        answer.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    assert scene.batcher.waiting_requests == 0
    assert scene.batcher.waiting() == ()
    assert scene.statistics.snapshot().failures[FailureReason.CANCELED] == 2
