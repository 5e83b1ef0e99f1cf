"""A queue that never empties, with overload.target_delay: n rows take 4 + n seconds."""

import numpy as np
import pytest

from onnxd.errors import QueueFull
from onnxd.messages import InferRequest, Principal
from onnxd.scheduler.batch import Rows
from onnxd.scheduler.overload import OverloadConfig
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.service_time import ServiceTimes
from tests.support.batching import Answer, Scene, result, turns

FLOOD, LIGHT = Principal("flood"), Principal("light")


class Standing(Scene):
    """Refuses what would wait over 30 s, once something has always waited for 20."""

    def __init__(self, policy: BatchPolicy | None = None) -> None:
        times = ServiceTimes(max_rows=8)
        super().__init__(times=times, policy=policy, overload=OverloadConfig(30.0, 20.0))
        bucket = Rows().bucket(InferRequest("m", {"x": np.zeros((1, 2), np.float32)}), ("y",))
        for rows in (1, 2, 8):
            times.note(bucket, rows, 4.0 + rows, self.clock.now_s())

    async def flood(self, count: int) -> list[Answer]:
        return [await self.send(tenant=FLOOD) for _ in range(count)]

    async def work(self, runs: int) -> None:
        """Of twelve seconds each, as the fit says of the full ones."""
        for _ in range(runs):
            self.clock.advance(12.0)
            self.free(len(self.runs) - 1)
            await turns()


async def test_a_burst_is_taken_in_whatever_it_will_wait() -> None:
    scene = Standing()
    await scene.busy()
    burst = await scene.flood(100)
    await scene.work(14)
    assert [len(await result(answer)) for answer in burst] == [1] * 100


async def test_once_a_queue_stands_what_would_wait_too_long_is_refused_at_once() -> None:
    scene = Standing()
    await scene.busy()
    await scene.flood(56)
    await scene.work(2)
    refused = await scene.send(tenant=FLOOD)
    with pytest.raises(
        QueueFull, match=r"would wait 60 s, longer than 30 s \(overload.target_delay\)"
    ) as error:
        await result(refused)
    assert error.value.retry_after_s == 30


async def test_what_would_not_wait_as_long_is_taken_in_although_the_queue_stands() -> None:
    scene = Standing()
    await scene.busy()
    await scene.flood(56)
    await scene.work(5)
    taken = await scene.send(tenant=FLOOD)
    await scene.work(4)
    assert len(await result(taken)) == 1


async def test_what_has_waited_for_twice_as_long_goes_when_others_are_refused() -> None:
    scene = Standing()
    await scene.busy()
    old = await scene.flood(120)
    scene.clock.advance(61.0)
    late = await scene.send(tenant=FLOOD)
    await turns()
    assert all(answer.done() for answer in (*old, late))
    assert scene.batcher.waiting_requests == 0
    for answer in (*old, late):
        with pytest.raises(QueueFull):
            await result(answer)


async def test_a_queue_that_was_empty_in_between_does_not_stand() -> None:
    scene = Standing()
    await scene.busy()
    await scene.flood(8)
    await scene.work(1)
    assert scene.batcher.waiting_requests == 0
    scene.clock.advance(11.0)
    taken = await scene.flood(60)
    await turns()
    assert not any(answer.done() for answer in taken)


async def test_the_queue_that_one_caller_keeps_full_is_not_anothers() -> None:
    scene = Standing()
    await scene.busy()
    await scene.flood(56)
    await scene.work(2)
    light = await scene.send(tenant=LIGHT)
    refused = await scene.send(tenant=FLOOD)
    with pytest.raises(QueueFull):
        await result(refused)
    await scene.work(2)
    assert len(await result(light)) == 1


async def test_without_run_times_nobody_is_refused_for_them() -> None:
    scene = Scene(overload=OverloadConfig(0.001, 0.001))
    await scene.busy()
    await scene.send()
    scene.clock.advance(60.0)
    taken = await scene.send()
    scene.free()
    scene.free(1)
    assert len(await result(taken)) == 1
