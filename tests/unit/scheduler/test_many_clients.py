"""A thousand clients at once, of whom some leave, some are late, and some send what makes the model fail."""

import random
from collections import Counter

import pytest

from onnxd.errors import DeadlineExceeded, ExecutionFailed, QueueFull, QueueTimeout
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.queue_policy import QueuePolicy
from tests.support.batching import Answer, Scene, turns
from tests.support.virtual_time import HeldRunner

CLIENTS = 1000
BAD = -1.0

POLICIES = {
    "as it is": BatchPolicy(),
    "with a delay and preferred sizes": BatchPolicy(max_queue_delay=0.02, preferred_sizes=(4, 12)),
    "with levels": BatchPolicy(
        priority_levels=3,
        default_priority=2,
        default_timeout=0.1,
        priorities={1: QueuePolicy(default_timeout=0.05, timeout_action="delay"), 3: QueuePolicy(20, 0.02)},
    ),
    "in order": BatchPolicy(preserve_ordering=True, max_queue_size=200),
    "changing": BatchPolicy(),
}


class Crowd:
    """The clients, the instances, and what chance does with them."""

    def __init__(self, policy: BatchPolicy, seed: int) -> None:
        self.chance = random.Random(seed)
        self.scene = Scene(HeldRunner(), HeldRunner(), HeldRunner(), max_rows=16, policy=policy)
        self.answers: list[tuple[float, int, Answer]] = []
        self.left: list[Answer] = []
        self._ended = [0, 0, 0]

    async def come(self) -> None:
        """One more client."""
        chance = self.chance
        value = BAD if chance.random() < 0.02 else float(len(self.answers) + 1)
        rows = chance.randint(1, 16)
        answer = await self.scene.send(
            rows,
            value=value,
            width=chance.choice((2, 2, 2, 3)),
            byte_size=rows * 8,
            priority=chance.randint(0, 4),
            deadline_s=chance.choice((None, None, 0.01, 0.2)),
            queue_timeout_s=chance.choice((None, None, 0.01)),
        )
        self.answers.append((value, rows, answer))

    async def go_on(self) -> None:
        """A client leaves, time passes, or a run ends."""
        match self.chance.randrange(4):
            case 0:
                answer = self.chance.choice(self.answers)[2]
                answer.cancel()
                self.left.append(answer)
            case 1:
                self.scene.clock.advance(self.chance.choice((0.0, 0.001, 0.03)))
            case _:
                self.end_a_run(self.chance.randrange(3))
        if self.chance.random() < 0.5:
            self.scene.clock.settle()
        await turns()

    def end_a_run(self, place: int) -> bool:
        runs, ended = self.scene.runners[place].runs, self._ended[place]
        if ended == len(runs):
            return False
        self._ended[place] += 1
        if (runs[ended].inputs["x"] < 0).any():
            runs[ended].fail(ExecutionFailed("no"))
        else:
            runs[ended].finish()
        return True

    async def end(self) -> None:
        """Let all that is on its way come to its end."""
        self.scene.clock.settle()
        while any(self.end_a_run(place) for place in range(3)) or self.scene.batcher.waiting_requests:
            self.scene.clock.settle()
            self.scene.clock.advance(0.05)
            await turns()
        self.scene.clock.advance(100.0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", POLICIES)
async def test_all_of_them_are_answered_rightly_or_told_why_not_and_nothing_is_left(
    name: str, seed: int
) -> None:
    crowd = Crowd(POLICIES[name], seed)
    for number in range(CLIENTS):
        await crowd.come()
        if number % 3 == 0:
            await crowd.go_on()
        if name == "changing" and number % 50 == 0:
            crowd.scene.batcher.reconfigure(crowd.chance.choice(list(POLICIES.values())))
    await crowd.end()
    outcomes: Counter[str] = Counter()
    for value, rows, answer in crowd.answers:
        assert answer.done()
        if answer.cancelled():
            assert answer in crowd.left
        elif error := answer.exception():
            outcomes[type(error).__name__] += 1
            expected = (QueueFull, QueueTimeout, DeadlineExceeded, ExecutionFailed)
            assert isinstance(error, expected)
            assert value == BAD or not isinstance(error, ExecutionFailed)
        else:
            outcomes["answered"] += 1
            output = answer.result()["y"]
            assert len(output) == rows
            assert (output == value * 2).all()
    assert outcomes["answered"] > CLIENTS // 10
    assert outcomes["ExecutionFailed"] >= 1
    check_nothing_is_left(crowd)


def check_nothing_is_left(crowd: Crowd) -> None:
    batcher, counted = crowd.scene.batcher, crowd.scene.statistics.snapshot()
    assert (batcher.waiting_requests, batcher.waiting(), batcher.running) == (0, (), 0)
    assert crowd.scene.clock.pending == 0
    assert counted.success.count + counted.fail.count == CLIENTS
    assert counted.fail.count == sum(counted.failures.values())
    answered = [
        rows for _, rows, answer in crowd.answers if not answer.cancelled() and not answer.exception()
    ]
    # Nobody knows of one that left in the turn in which it was answered.
    assert sum(answered) <= counted.inference_count <= sum(answered) + 16 * len(crowd.left)
