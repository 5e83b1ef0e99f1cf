"""The last batches, and what waits: for people who ask why."""

import pytest

from onnxd.scheduler.history import KEPT
from onnxd.scheduler.policy import BatchPolicy
from tests.support.batching import Scene
from tests.support.virtual_time import InlineRunner, PickyRunner


def cuts(scene: Scene) -> list[str]:
    return [batch.cut for batch in scene.batcher.last_batches()]


async def test_nothing_has_run_of_a_new_model() -> None:
    assert Scene().batcher.last_batches() == ()


async def test_a_batch_is_remembered_with_its_size_and_why_it_was_cut() -> None:
    scene = Scene()
    await scene.send(2)
    await scene.send(3)
    scene.clock.settle()
    scene.free()
    (batch,) = scene.batcher.last_batches()
    assert (batch.rows, batch.requests, batch.cut) == (5, 2, "idle")
    assert (batch.failed, batch.again) == (False, False)
    assert batch.run_s >= 0
    assert batch.ended_ns > 0
    assert batch.bucket[0] == ("y",)


async def test_the_cut_tells_an_idle_instance_from_one_that_became_free() -> None:
    scene = Scene()
    await scene.busy()
    await scene.send()
    scene.free(0)
    scene.free(1)
    assert cuts(scene) == ["idle", "freed"]


async def test_the_cut_tells_of_others_with_another_shape() -> None:
    scene = Scene(InlineRunner())
    await scene.send(width=2)
    await scene.send(width=3)
    scene.clock.settle()
    assert cuts(scene) == ["shape", "freed"]


@pytest.mark.parametrize(
    ("policy", "rows", "cut"),
    [
        (BatchPolicy(), 8, "full"),
        (BatchPolicy(max_queue_delay=0.1), 1, "delay"),
        (BatchPolicy(max_queue_delay=0.1, preferred_sizes=(4,)), 4, "preferred"),
    ],
    ids=["full", "delay", "preferred"],
)
async def test_the_cut_tells_what_the_policy_says(policy: BatchPolicy, rows: int, cut: str) -> None:
    scene = Scene(InlineRunner(), policy=policy)
    await scene.send(rows)
    scene.clock.settle()
    scene.clock.advance(0.1)
    assert cuts(scene) == [cut]


async def test_the_cut_tells_of_a_model_that_does_not_batch() -> None:
    scene = Scene(InlineRunner(), max_rows=0)
    await scene.send()
    scene.clock.settle()
    assert cuts(scene) == ["single"]


async def test_failed_batches_and_their_parts_are_marked() -> None:
    scene = Scene(PickyRunner())
    await scene.send(value=1.0)
    await scene.send(value=-1.0)
    scene.clock.settle()
    marks = [(batch.requests, batch.failed, batch.again) for batch in scene.batcher.last_batches()]
    assert marks == [(2, True, False), (1, False, True), (1, True, True)]


async def test_only_the_last_ones_are_remembered() -> None:
    scene = Scene(InlineRunner(), max_rows=1)
    for _ in range(KEPT + 5):
        await scene.send()
        scene.clock.settle()
    assert len(scene.batcher.last_batches()) == KEPT


async def test_what_waits_is_told_by_shape_and_level() -> None:
    scene = Scene(policy=BatchPolicy(priority_levels=2))
    await scene.busy()
    for width, priority in ((2, 2), (2, 1), (3, 2), (2, 2)):
        await scene.send(2, width=width, priority=priority)
    waiting = scene.batcher.waiting()
    assert [(group.level, group.requests, group.rows, group.bytes) for group in waiting] == [
        (1, 1, 2, 8),
        (2, 2, 4, 16),
        (2, 1, 2, 8),
    ]
    assert waiting[0].bucket == waiting[1].bucket != waiting[2].bucket
