"""A batch that fails: the guilty request fails alone, its neighbours are answered, and it costs little."""

import asyncio
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.errors import DeadlineExceeded, ExecutionFailed, ModelUnavailable, TensorMismatch
from onnxd.scheduler.bisection import GUILTY, most_runs, worth_bisecting
from onnxd.telemetry.statistics import FailureReason
from tests.support.batching import Answer, Scene, result, turns
from tests.support.virtual_time import HeldRunner, Outcome, PickyRunner

BAD = -7.0
"""What the picky runner fails on."""


class ProcessDied(ExecutionFailed):
    """A failure of a kind of its own."""


async def batch(scene: Scene, values: list[float]) -> list[Answer]:
    """These requests in one batch, run to the end."""
    answers = [await scene.send(value=value) for value in values]
    scene.clock.settle()
    return answers


async def test_one_bad_request_fails_alone() -> None:
    scene = Scene(PickyRunner())
    *good, bad = await batch(scene, [1, 2, 3, BAD])
    assert [(await result(answer))[0, 0] for answer in good] == [2, 4, 6]
    with pytest.raises(ExecutionFailed, match="no place for -7"):
        await result(bad)


async def test_each_request_is_counted_once_and_so_is_the_bisection() -> None:
    scene = Scene(PickyRunner())
    await batch(scene, [1, 2, 3, BAD])
    counted = scene.statistics.snapshot()
    assert (counted.success.count, counted.fail.count) == (3, 1)
    assert counted.failures[FailureReason.BACKEND] == 1
    assert counted.inference_count == 3
    # Those that failed are no executions: [1, 2] and [3] were.
    assert (counted.execution_count, [size.batch_size for size in counted.batches]) == (2, [1, 2])
    assert (counted.bisections, counted.reruns) == (1, 4)
    parts = counted.queue, counted.compute_input, counted.compute_infer, counted.compute_output
    assert sum(part.ns for part in parts) <= counted.success.ns


async def test_the_bigger_parts_are_run_first() -> None:
    scene = Scene(PickyRunner())
    await batch(scene, [1, 2, 3, 4, 5, BAD, 7, 8])
    assert scene.runs == [8, 4, 4, 2, 2, 1, 1]


async def test_a_request_alone_is_not_run_again() -> None:
    scene = Scene(PickyRunner())
    (bad,) = await batch(scene, [BAD])
    with pytest.raises(ExecutionFailed):
        await result(bad)
    assert scene.runs == [1]
    assert scene.statistics.snapshot().bisections == 0


async def test_a_model_that_gives_too_few_rows_for_a_batch_answers_requests_one_by_one() -> None:
    scene = Scene()
    answers = await batch(scene, [1, 2])
    scene.runners[0].runs[0].done(Outcome({"y": np.zeros((1, 2), np.float32)}))
    scene.clock.settle()
    scene.free(1)
    scene.free(2)
    assert [(await result(answer))[0, 0] for answer in answers] == [2, 4]


async def test_an_output_without_a_row_for_each_input_row_is_never_handed_out() -> None:
    scene = Scene(max_rows=32)
    answers = await batch(scene, [1] * 32)
    runs = scene.runners[0].runs
    for run in runs:  # grows meanwhile
        run.done(Outcome({"y": np.zeros((1, 2), np.float32)}))
        scene.clock.settle()
    for answer in answers:
        with pytest.raises(ExecutionFailed, match=r"output 'y' has shape \[1, 2\] for a batch of 2 rows"):
            await result(answer)


@pytest.mark.parametrize(
    ("error", "worth"),
    [
        (ExecutionFailed("no"), True),
        (TensorMismatch("no"), True),
        (ModelUnavailable("no memory"), False),
        (LookupError("a bug"), False),
        (ProcessDied("killed"), False),
    ],
    ids=["fault", "tensors", "memory", "bug", "another kind of fault"],
)
async def test_only_a_failure_that_may_be_one_requests_is_bisected(error: Exception, worth: bool) -> None:
    assert worth_bisecting(error) is worth
    scene = Scene()
    answers = await batch(scene, [1, 2])
    scene.runners[0].runs[0].fail(error)
    scene.clock.settle()
    assert len(scene.runs) == (2 if worth else 1)
    if not worth:
        for answer in answers:
            with pytest.raises(type(error)):
                await result(answer)


async def test_when_all_are_guilty_the_search_ends_and_nobody_is_told_of_anothers_data() -> None:
    scene = Scene(PickyRunner(), max_rows=32)
    answers = await batch(scene, [BAD] * 32)
    assert len(scene.runs) == 1 + most_runs(32)
    for answer in answers:
        with pytest.raises(ExecutionFailed, match="a batch of 2 requests made model 'm' fail"):
            await result(answer)
    assert scene.statistics.snapshot().fail.count == 32


async def test_when_all_of_a_small_batch_are_guilty_each_is_told_why() -> None:
    scene = Scene(PickyRunner())
    for answer in await batch(scene, [BAD] * 8):
        with pytest.raises(ExecutionFailed, match="no place for -7"):
            await result(answer)
    assert len(scene.runs) == 15


async def test_a_caller_that_has_gone_is_not_run_again() -> None:
    scene = Scene()
    gone, *others = await batch(scene, [1, 2, 3])
    gone.cancel()
    await turns()
    scene.runners[0].runs[0].fail(ExecutionFailed("no"))
    scene.clock.settle()
    scene.free(1)
    scene.free(2)
    assert [scene.values(place) for place in (1, 2)] == [[2], [3]]
    for answer in others:
        await result(answer)


async def test_the_last_one_of_a_batch_whose_other_callers_have_gone_is_not_taken_for_guilty() -> None:
    scene = Scene()
    gone, left = await batch(scene, [1, 2])
    gone.cancel()
    await turns()
    scene.runners[0].runs[0].fail(ExecutionFailed("no"))
    scene.clock.settle()
    scene.free(1)
    assert (await result(left)).tolist() == [[4, 4]]


async def test_a_deadline_that_passes_before_a_part_is_run_again_ends_the_wait() -> None:
    scene = Scene()
    answers = [await scene.send(deadline_s=0.5), await scene.send(value=3.0)]
    scene.clock.settle()
    scene.runners[0].runs[0].fail(ExecutionFailed("no"))
    scene.clock.pass_by(1.0)
    scene.clock.settle()
    with pytest.raises(DeadlineExceeded):
        await result(answers[0])
    assert scene.values(1) == [3]
    scene.free(1)
    await result(answers[1])


async def test_parts_go_before_what_came_later_and_over_all_instances() -> None:
    scene = Scene(HeldRunner(), HeldRunner())
    await batch(scene, [1, 2])
    await scene.send(value=3)
    scene.clock.settle()
    await scene.send(value=4)
    other, batched = (runner.runs for runner in scene.runners)
    batched[0].fail(ExecutionFailed("no"))
    scene.clock.settle()
    other[0].finish()
    scene.clock.settle()
    assert [run.inputs["x"][0, 0] for run in (batched[1], other[1])] == [1, 2]


async def test_requests_that_wait_to_be_run_again_are_still_waiting() -> None:
    scene = Scene()
    await batch(scene, [1, 2, 3])
    scene.runners[0].runs[0].fail(ExecutionFailed("no"))
    assert scene.batcher.waiting_requests == 3
    scene.clock.settle()
    assert scene.batcher.waiting_requests == 1


async def test_closing_ends_the_search() -> None:
    scene = Scene()
    answers = await batch(scene, [1, 2, 3, 4])
    scene.runners[0].runs[0].fail(ExecutionFailed("no"))
    await scene.batcher.aclose("is being unloaded")
    for answer in answers:
        with pytest.raises(ModelUnavailable, match="is being unloaded"):
            await result(answer)
    scene.clock.settle()
    assert scene.runs == [4]


async def test_a_batch_that_fails_after_closing_is_not_bisected() -> None:
    scene = Scene()
    answers = await batch(scene, [1, 2])
    waiting = [await scene.send()]
    closing = asyncio.ensure_future(scene.batcher.aclose("is being unloaded"))
    await turns()
    scene.runners[0].runs[0].fail(ExecutionFailed("no"))
    await closing
    for answer in (*answers, *waiting):
        with pytest.raises((ExecutionFailed, ModelUnavailable)):
            await result(answer)
    assert scene.runs == [2]


@given(requests=st.integers(2, 64), data=st.data())
async def test_up_to_so_many_guilty_ones_are_always_found_and_nobody_else_fails(
    requests: int, data: st.DataObject
) -> None:
    guilty = data.draw(st.sets(st.integers(0, requests - 1), max_size=GUILTY))
    scene = Scene(PickyRunner(), max_rows=64)
    answers = await batch(scene, [BAD if place in guilty else 1.0 for place in range(requests)])
    await turns()
    assert {place for place, answer in enumerate(answers) if answer.exception()} == guilty
    assert len(scene.runs) - 1 <= len(guilty) * 2 * math.ceil(math.log2(requests))


@given(values=st.lists(st.sampled_from([1.0, BAD]), min_size=1, max_size=40))
async def test_whoever_is_guilty_each_request_ends_once_and_the_cost_is_bounded(values: list[float]) -> None:
    scene = Scene(PickyRunner(), max_rows=64)
    answers = await batch(scene, values)
    await turns()
    assert all(answer.done() for answer in answers)
    for value, answer in zip(values, answers, strict=True):
        assert value == 1.0 or answer.exception() is not None
    assert len(scene.runs) <= 1 + most_runs(len(values))
    counted = scene.statistics.snapshot()
    assert counted.success.count + counted.fail.count == len(values)
    assert counted.reruns == len(scene.runs) - 1
