"""Several instances share one queue, and do not split between them what one could run."""

from onnxd.scheduler.policy import BatchPolicy
from tests.support.batching import Scene
from tests.support.virtual_time import HeldRunner


def rows(scene: Scene) -> list[list[int]]:
    return sorted([run.rows for run in runner.runs] for runner in scene.runners)


async def test_what_fits_into_one_batch_is_run_by_one_instance() -> None:
    scene = Scene(HeldRunner(), HeldRunner())
    for _ in range(6):
        await scene.send()
    scene.clock.settle()
    assert rows(scene) == [[], [6]]


async def test_what_does_not_fit_is_run_by_the_next_one_at_once() -> None:
    scene = Scene(HeldRunner(), HeldRunner(), HeldRunner(), max_rows=4)
    for _ in range(6):
        await scene.send()
    scene.clock.settle()
    assert rows(scene) == [[], [2], [4]]


async def test_each_shape_is_run_by_an_instance_of_its_own() -> None:
    scene = Scene(HeldRunner(), HeldRunner())
    for width in (2, 3, 2, 3):
        await scene.send(width=width)
    scene.clock.settle()
    assert rows(scene) == [[2], [2]]


async def test_what_collects_while_all_are_busy_is_run_together_by_the_first_that_is_free() -> None:
    scene = Scene(HeldRunner(), HeldRunner())
    for _ in range(2):
        await scene.send()
        scene.clock.settle()
    for _ in range(5):
        await scene.send()
    scene.free()
    assert scene.runs == [1, 5]
    assert rows(scene) == [[1], [1, 5]]


async def test_a_batch_that_is_held_back_is_not_split_either() -> None:
    scene = Scene(HeldRunner(), HeldRunner(), policy=BatchPolicy(max_queue_delay=0.01, preferred_sizes=(4,)))
    for _ in range(5):
        await scene.send()
    scene.clock.settle()
    assert rows(scene) == [[], [4]]
    scene.clock.advance(0.01)
    assert rows(scene) == [[1], [4]]
