"""Requests that come one by one are run at once; those that come together are collected."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from onnxd.errors import ModelUnavailable
from onnxd.scheduler.company import LONE_TURNS, Company
from onnxd.scheduler.policy import BatchPolicy
from onnxd.tensors import Array
from tests.support.batching import Scene, result
from tests.support.virtual_time import HeldRunner, Outcome


class InlineRunner(HeldRunner):
    """Done before `start` returns."""

    def start(
        self, inputs: Mapping[str, Array], outputs: tuple[str, ...], done: Callable[[Outcome], None]
    ) -> None:
        super().start(inputs, outputs, done)
        self.runs[-1].finish()


async def one_by_one(scene: Scene) -> None:
    """So many turns with one request each that the next will not wait for company."""
    runner = scene.runners[0]
    for _ in range(LONE_TURNS):
        answer = await scene.send()
        scene.clock.settle()
        runner.runs[-1].finish()
        scene.clock.settle()
        await result(answer)


async def test_a_request_waits_for_the_end_of_its_turn_at_first() -> None:
    scene = Scene()
    await scene.send()
    assert scene.runs == []
    scene.clock.settle()
    assert scene.runs == [1]


async def test_after_requests_that_came_one_by_one_the_next_runs_in_the_turn_in_which_it_comes() -> None:
    scene = Scene()
    await one_by_one(scene)
    await scene.send(rows=3)
    assert scene.runs[LONE_TURNS:] == [3]


async def test_what_comes_in_the_same_turn_shares_a_batch_when_the_instance_frees() -> None:
    scene = Scene()
    await one_by_one(scene)
    for _ in range(4):
        await scene.send()
    assert scene.runs[LONE_TURNS:] == [1]
    scene.clock.settle()
    scene.free(LONE_TURNS)
    assert scene.runs[LONE_TURNS:] == [1, 3]


async def test_a_turn_with_several_has_the_next_ones_collected_again() -> None:
    scene = Scene()
    await one_by_one(scene)
    for _ in range(2):
        await scene.send()
    scene.clock.settle()
    scene.free(LONE_TURNS)
    scene.free(LONE_TURNS + 1)
    for _ in range(4):
        await scene.send()
    scene.clock.settle()
    assert scene.runs[LONE_TURNS:] == [1, 1, 4]


async def test_a_delay_that_is_asked_for_is_kept_by_those_who_come_alone() -> None:
    scene = Scene(policy=BatchPolicy(max_queue_delay=0.01))
    for _ in range(LONE_TURNS):
        await scene.send()
        scene.clock.settle()
        scene.clock.advance(0.02)
        scene.free(len(scene.runs) - 1)
    begun = len(scene.runs)
    await scene.send()
    assert len(scene.runs) == begun
    scene.clock.advance(0.02)
    assert len(scene.runs) == begun + 1


async def test_an_answer_that_is_there_at_once_is_not_watched_for_its_deadline() -> None:
    scene = Scene(InlineRunner())
    for _ in range(LONE_TURNS):
        answer = await scene.send(deadline_s=5)
        scene.clock.settle()
        await result(answer)
    scene.clock.advance(6)
    await result(await scene.send(deadline_s=5))
    scene.clock.settle()
    assert scene.clock.pending == 0


async def test_a_bug_in_a_run_at_once_stops_the_model_and_is_the_loops_to_report() -> None:
    class Broken(HeldRunner):
        def start(self, *run: Any) -> None:
            if len(self.runs) == LONE_TURNS:
                raise LookupError("a bug")
            super().start(*run)

    scene = Scene(Broken())
    await one_by_one(scene)
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    answer = await scene.send()
    with pytest.raises(ModelUnavailable, match="internal error"):
        await answer
    assert isinstance(reported[0]["exception"], LookupError)
    assert scene.batcher.broken


def test_company_is_known_by_turns_and_not_by_requests() -> None:
    company = Company()
    for _ in range(LONE_TURNS - 1):
        company.came()
        company.turn_over()
    company.turn_over()
    assert not company.one_by_one
    company.came()
    company.turn_over()
    assert company.one_by_one
