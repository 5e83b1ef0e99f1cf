"""Requests with more rows than a batch: parts, their order, their failures, their bound."""

import asyncio

import numpy as np
import pytest

from onnxd.errors import DeadlineExceeded, ExecutionFailed
from onnxd.scheduler.large_requests import MOST_PARTS
from tests.support.batching import Answer, result
from tests.support.fronts import FrontScene, rows
from tests.support.virtual_time import HeldRunner, Outcome


@pytest.fixture
def scene() -> FrontScene:
    return FrontScene(split_large=True)


async def finish_all(scene: FrontScene) -> None:
    while scene.batcher.running:
        scene.runners[0].runs[-1].finish()
        await scene.settled()


def test_a_request_may_have_so_many_rows(scene: FrontScene) -> None:
    assert scene.front.most_rows == MOST_PARTS * 8


async def test_parts_are_full_batches_and_the_answer_has_the_order_of_the_rows(scene: FrontScene) -> None:
    answer = await scene.ask(rows(*range(20)))
    await finish_all(scene)
    assert scene.runs == [8, 8, 4]
    assert (await result(answer))[:, 0].tolist() == [2 * value for value in range(20)]


async def test_it_counts_as_one_request_with_its_rows(scene: FrontScene) -> None:
    answer = await scene.ask(rows(*range(20)))
    await finish_all(scene)
    await result(answer)
    seen = scene.statistics.snapshot()
    assert scene.counts == {"answered": 1, "rows": 20, "runs": 3}
    assert seen.request_bytes.total == 20 * 2 * 4
    stages = (seen.queue, seen.compute_input, seen.compute_infer, seen.compute_output)
    assert sum(stage.ns for stage in stages) == seen.success.ns


async def test_what_fits_a_batch_goes_as_it_came(scene: FrontScene) -> None:
    answer = await scene.ask(rows(*range(8)))
    await finish_all(scene)
    await result(answer)
    assert scene.runs == [8]


async def test_only_one_part_more_than_there_are_instances_is_queued(scene: FrontScene) -> None:
    await scene.ask(rows(*range(80)))
    assert (scene.batcher.running, scene.batcher.waiting_requests) == (1, 1)


async def test_what_others_send_goes_between_the_parts() -> None:
    scene = FrontScene(split_large=True)
    large = await scene.ask(rows(*range(80)))
    small = await scene.ask(rows(7))
    for _ in range(3):
        scene.runners[0].runs[-1].finish()
        await scene.settled()
    assert (await result(small)).tolist() == [[14, 14]]
    assert not large.done()


async def test_parts_run_side_by_side_where_there_are_instances() -> None:
    scene = FrontScene(HeldRunner(), HeldRunner(), split_large=True, instances=2)
    answer = await scene.ask(rows(*range(20)))
    assert scene.batcher.running == 2
    for runner in reversed(scene.runners):  # the later part is ready first
        runner.runs[0].finish()
        await scene.settled()
    for runner in scene.runners:
        for run in runner.runs[1:]:
            run.finish()
            await scene.settled()
    assert (await result(answer))[:, 0].tolist() == [2 * value for value in range(20)]


async def fails(answer: Answer, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await answer


async def test_a_part_that_fails_fails_the_request_and_withdraws_the_others(scene: FrontScene) -> None:
    answer = await scene.ask(rows(*range(80)))
    scene.runners[0].runs[-1].fail(ExecutionFailed("no"))
    await scene.settled()
    await fails(answer, ExecutionFailed)
    assert scene.batcher.waiting_requests == 0
    assert scene.counts == {"backend": 1}


async def test_a_caller_that_leaves_withdraws_all_parts(scene: FrontScene) -> None:
    answer = await scene.ask(rows(*range(80)))
    answer.cancel()
    await scene.settled()
    assert answer.cancelled()
    assert scene.batcher.waiting_requests == 0
    await finish_all(scene)
    assert scene.runs == [8]
    assert scene.counts == {"runs": 1, "canceled": 1}


async def test_a_deadline_is_of_the_whole(scene: FrontScene) -> None:
    answer = await scene.ask(rows(*range(80)), deadline_s=1.0)
    scene.clock.advance(0.6)
    scene.runners[0].runs[-1].finish()
    await scene.settled()
    scene.clock.advance(0.6)
    await scene.settled()
    await fails(answer, DeadlineExceeded)
    assert scene.batcher.waiting_requests == 0
    assert scene.counts["canceled"] == 1


async def test_rows_that_cannot_be_told_apart_are_an_error_and_not_an_answer(
    scene: FrontScene,
) -> None:
    answer = await scene.ask(rows(*range(20)))
    scene.runners[0].runs[-1].done(Outcome({"y": np.zeros((1, 2), np.float32)}))
    await scene.settled()
    with pytest.raises(ExecutionFailed, match=r"shape \[1, 2\] for 8 rows.*split_large"):
        await answer


async def test_text_is_put_together_as_well() -> None:
    scene = FrontScene(split_large=True, max_rows=2)
    answer = await scene.ask(np.array([["a"], ["b"], ["c"]], object))
    for _ in range(2):
        run = scene.runners[0].runs[-1]
        run.done(Outcome({"y": run.inputs["x"]}))
        await scene.settled()
    assert (await result(answer)).tolist() == [["a"], ["b"], ["c"]]


async def test_identical_large_requests_are_merged_before_they_are_divided() -> None:
    scene = FrontScene(split_large=True, single_flight=True)
    answers = [await scene.ask(rows(*range(20))) for _ in range(2)]
    await finish_all(scene)
    one, other = [await result(answer) for answer in answers]
    assert one.tolist() == other.tolist()
    assert scene.counts == {"answered": 2, "rows": 40, "runs": 3, "joined": 1}


async def test_nothing_is_left_of_a_request_that_has_ended(scene: FrontScene) -> None:
    before = asyncio.all_tasks()
    answer = await scene.ask(rows(*range(80)))
    scene.runners[0].runs[-1].fail(ExecutionFailed("no"))
    await fails(answer, ExecutionFailed)
    assert asyncio.all_tasks() == before
