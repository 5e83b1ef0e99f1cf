"""Identical requests in flight run once, and none of them can spoil it for another."""

import asyncio
import random
from collections.abc import Mapping

import numpy as np
import pytest

from onnxd.errors import DeadlineExceeded, ExecutionFailed, ModelUnavailable, QueueTimeout, ServerError
from onnxd.messages import InferRequest
from onnxd.scheduler.clock import LoopClock
from onnxd.scheduler.single_flight import MOST_BYTES, SingleFlight
from onnxd.telemetry.statistics import ModelStatistics
from onnxd.tensors import Array
from tests.support.batching import Answer, result
from tests.support.fronts import FrontScene, rows


@pytest.fixture
def scene() -> FrontScene:
    return FrontScene(single_flight=True)


async def finish(scene: FrontScene) -> None:
    """End the run in progress."""
    scene.runners[0].runs[-1].finish()
    await scene.settled()


async def test_identical_requests_run_once_and_all_are_answered(scene: FrontScene) -> None:
    answers = [await scene.ask(rows(1, 2)) for _ in range(3)]
    await finish(scene)
    assert [(await result(answer)).tolist() for answer in answers] == [[[2, 2], [4, 4]]] * 3
    assert scene.counts == {"answered": 3, "rows": 6, "runs": 1, "joined": 2}


async def test_a_request_joins_a_run_that_has_begun(scene: FrontScene) -> None:
    first = await scene.ask(rows(1))
    assert scene.runs == [1]
    second = await scene.ask(rows(1))
    await finish(scene)
    assert (await result(first)).tolist() == (await result(second)).tolist()
    assert scene.runs == [1]


async def test_a_model_that_does_not_batch_may_have_it_too() -> None:
    scene = FrontScene(single_flight=True, max_rows=0)
    answers = [await scene.ask(rows(1)) for _ in range(2)]
    await finish(scene)
    assert [(await result(answer)).tolist() for answer in answers] == [[[2, 2]]] * 2
    assert scene.counts == {"answered": 2, "rows": 2, "runs": 1, "joined": 1}


async def test_a_request_that_comes_after_the_answer_is_run(scene: FrontScene) -> None:
    await scene.ask(rows(1))
    await finish(scene)
    await scene.ask(rows(1))
    assert scene.runs == [1, 1]


@pytest.mark.parametrize(
    "other",
    [
        {"inputs": rows(1, 3)},
        {"inputs": rows(1, 2).astype(np.float64)},
        {"inputs": rows(1, 2, width=3)},
        {"inputs": {"x": rows(1, 2), "z": rows(1, 2)}},
        {"inputs": rows(1, 2), "outputs": ("y", "z")},
        {"inputs": rows(1, 2), "priority": 1},
        {"inputs": rows(1, 2), "queue_timeout_s": 1.0},
    ],
    ids=["bytes", "datatype", "shape", "inputs", "outputs", "priority", "timeout"],
)
async def test_requests_that_differ_are_not_merged(scene: FrontScene, other: dict[str, object]) -> None:
    await scene.ask(rows(1, 2))
    await scene.ask(**other)  # type: ignore[arg-type]  # a case names any of the parameters
    assert "joined" not in scene.counts


async def test_an_answer_that_is_shared_cannot_be_changed(scene: FrontScene) -> None:
    first, second = await scene.ask(rows(1)), await scene.ask(rows(1))
    await finish(scene)
    assert (await first) is not (await second)
    with pytest.raises(ValueError, match="read-only"):
        (await result(first))[0, 0] = 7


async def test_a_follower_that_leaves_changes_nothing_for_the_others(scene: FrontScene) -> None:
    first, second, third = [await scene.ask(rows(1)) for _ in range(3)]
    second.cancel()
    await scene.settled()
    await finish(scene)
    assert (await result(first)).tolist() == (await result(third)).tolist() == [[2, 2]]
    assert scene.counts == {"answered": 2, "rows": 2, "runs": 1, "joined": 2, "canceled": 1}


@pytest.mark.parametrize("begun", [True, False], ids=["while it runs", "while it waits"])
async def test_the_first_caller_leaves_and_the_others_have_their_answer(
    scene: FrontScene, begun: bool
) -> None:
    if not begun:
        await scene.ask(rows(9))  # the instance is busy
    first, second = await scene.ask(rows(1)), await scene.ask(rows(1))
    first.cancel()
    await scene.settled()
    if not begun:
        await finish(scene)
    await finish(scene)
    assert (await result(second)).tolist() == [[2, 2]]
    assert scene.counts["canceled"] == 1


async def test_when_the_last_has_left_the_run_is_withdrawn(scene: FrontScene) -> None:
    await scene.ask(rows(9))
    answers = [await scene.ask(rows(1)) for _ in range(2)]
    for answer in answers:
        answer.cancel()
    await scene.settled()
    assert scene.batcher.waiting_requests == 0
    assert scene.counts == {"joined": 1, "canceled": 2}


async def test_after_all_have_left_the_same_request_is_run_again(scene: FrontScene) -> None:
    await scene.ask(rows(9))
    (await scene.ask(rows(1))).cancel()
    await scene.settled()
    again = await scene.ask(rows(1))
    await finish(scene)
    await finish(scene)
    assert (await result(again)).tolist() == [[2, 2]]


@pytest.mark.parametrize(
    ("first_s", "second_s"), [(1.0, 3.0), (3.0, 1.0)], ids=["the first's", "the second's"]
)
async def test_each_is_held_to_its_own_deadline(scene: FrontScene, first_s: float, second_s: float) -> None:
    first = await scene.ask(rows(1), deadline_s=first_s)
    second = await scene.ask(rows(1), deadline_s=second_s)
    scene.clock.advance(2.0)
    await scene.settled()
    early, late = (first, second) if first_s < second_s else (second, first)
    with pytest.raises(DeadlineExceeded):
        await early
    await finish(scene)
    assert (await result(late)).tolist() == [[2, 2]]
    assert scene.counts == {"answered": 1, "rows": 1, "runs": 1, "joined": 1, "canceled": 1}


async def test_in_the_queue_too_a_deadline_is_of_one_request(scene: FrontScene) -> None:
    await scene.ask(rows(9))
    first = await scene.ask(rows(1), deadline_s=1.0)
    second = await scene.ask(rows(1), deadline_s=3.0)
    third = await scene.ask(rows(1))
    scene.clock.advance(2.0)
    await scene.settled()
    with pytest.raises(DeadlineExceeded):
        await first
    scene.clock.advance(2.0)
    await scene.settled()
    with pytest.raises(DeadlineExceeded):
        await second
    await finish(scene)
    await finish(scene)
    assert (await result(third)).tolist() == [[2, 2]]
    assert scene.counts["rejected"] == 2


async def test_who_came_later_waits_on_when_the_queue_timeout_of_the_first_is_over(scene: FrontScene) -> None:
    await scene.ask(rows(9))
    first = await scene.ask(rows(1), queue_timeout_s=1.0)
    scene.clock.advance(0.5)
    second = await scene.ask(rows(1), queue_timeout_s=1.0)
    scene.clock.advance(0.7)
    await scene.settled()
    with pytest.raises(QueueTimeout):
        await first
    await finish(scene)
    await finish(scene)
    assert (await result(second)).tolist() == [[2, 2]]


async def test_a_run_that_fails_fails_all_of_them_each_counted(scene: FrontScene) -> None:
    answers = [await scene.ask(rows(1)) for _ in range(3)]
    scene.runners[0].runs[-1].fail(ExecutionFailed("no"))
    await scene.settled()
    for answer in answers:
        with pytest.raises(ExecutionFailed, match="no"):
            await answer
    assert scene.counts == {"joined": 2, "backend": 3}


async def test_requests_of_many_bytes_are_run_as_they_come(scene: FrontScene) -> None:
    big = np.zeros((1, MOST_BYTES // 4 + 1), np.float32)
    await scene.ask(big)
    await scene.ask(big)
    assert "joined" not in scene.counts


async def test_requests_that_only_look_alike_are_compared_with_few_and_never_merged(
    scene: FrontScene,
) -> None:
    await scene.ask(rows(9))
    for number in range(10):
        alike = np.zeros((1, 4096), np.float32)
        alike[0, 200] = number  # between the blocks that the sketch looks at
        await scene.ask(alike)
    assert scene.counts == {}
    assert scene.batcher.waiting_requests == 10


async def test_a_version_that_stops_tells_everybody(scene: FrontScene) -> None:
    await scene.ask(rows(9))
    answers = [await scene.ask(rows(1)) for _ in range(2)]
    closing = asyncio.ensure_future(scene.batcher.aclose("is being unloaded"))
    await scene.settled()
    for answer in answers:
        with pytest.raises(ModelUnavailable, match="is being unloaded"):
            await answer
    await finish(scene)
    await closing


async def test_a_server_that_stops_before_tells_everybody_too() -> None:
    scene = FrontScene(single_flight=True)
    answers = [await scene.ask(rows(1)) for _ in range(2)]
    for task in scene.tasks:
        task.cancel()
    await scene.settled()
    for answer in answers:
        with pytest.raises(ModelUnavailable, match="stopped"):
            await answer


async def test_what_is_no_error_of_ours_reaches_everybody_and_not_the_task_group() -> None:
    async def broken(request: InferRequest, rows: int, outputs: tuple[str, ...]) -> Mapping[str, Array]:
        raise ZeroDivisionError

    async with asyncio.TaskGroup() as tasks:
        flights = SingleFlight(
            broken,
            spawn=tasks.create_task,
            clock=LoopClock(asyncio.get_running_loop()),
            joined=ModelStatistics().record_joined,
        )
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await flights.submit(InferRequest("m", {"x": rows(1)}), 1, ("y",))
        assert flights.flights == 0


async def left(answer: Answer) -> str:
    """How it ended."""
    try:
        await answer
    except asyncio.CancelledError:
        return "canceled"
    except ServerError as error:
        return type(error).__name__
    return "answered"


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_leaves_fails_or_expires_each_request_ends_and_is_counted_once(seed: int) -> None:
    chance = random.Random(seed)
    scene = FrontScene(single_flight=True, split_large=True)
    answers: list[Answer] = []
    for _ in range(200):
        match chance.randrange(6):
            case 0 | 1 | 2:
                value = float(chance.randrange(3))
                deadline_s = chance.choice([None, 0.5, 2.0])
                answers.append(
                    await scene.ask(rows(*[value] * chance.choice([1, 2, 20])), deadline_s=deadline_s)
                )
            case 3 if answers:
                chance.choice(answers).cancel()
            case 4 if scene.batcher.running:
                run = scene.runners[0].runs[-1]
                run.fail(ExecutionFailed("no")) if chance.random() < 0.2 else run.finish()
            case _:
                scene.clock.advance(chance.choice([0.1, 0.4]))
        await scene.settled()
    while scene.batcher.running:
        await finish(scene)
    ends = [await left(answer) for answer in answers]
    counted = scene.counts
    failed = sum(counted.get(why, 0) for why in ("rejected", "canceled", "backend", "other"))
    assert ends.count("answered") == counted.get("answered", 0)
    assert len(ends) == counted.get("answered", 0) + failed
    assert scene.batcher.waiting_requests == 0
    assert all(task.done() for task in scene.tasks)
