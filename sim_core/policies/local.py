"""Policies that need no server."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from sim_core.arrays import FloatArray, IntArray
from sim_core.policies.policy import Answer, Question
from sim_core.random_words import Purpose, random_words
from sim_core.replays.documents import PolicyEntry


class RandomPolicy:
    """Each action as likely as any other, and the same one whenever a match is played again."""

    def __init__(self, *, seed: int, agents: int, ticks: int, actions: int) -> None:
        self.entry = PolicyEntry("random", "random")
        self._seed = seed
        self._shape = (ticks, agents)
        self._actions = actions
        self._of_match = lru_cache(maxsize=4096)(self._draw)

    async def decide(self, question: Question) -> Answer:
        rows = [
            self._of_match(match)[tick, agent]
            for match, tick, agent in zip(
                question.match.tolist(), question.tick.tolist(), question.agent.tolist(), strict=True
            )
        ]
        return Answer.local(np.array(rows, np.int32))

    def _draw(self, match: int) -> IntArray:
        words = random_words(self._seed, match, Purpose.RANDOM_POLICY, int(np.prod(self._shape)))
        actions: IntArray = (words % np.uint64(self._actions)).astype(np.int32).reshape(self._shape)
        return actions


class ScriptedPolicy:
    """A rule that people wrote: from observations to actions."""

    def __init__(self, rule: Callable[[FloatArray], IntArray]) -> None:
        self.entry = PolicyEntry("scripted", "scripted")
        self._rule = rule

    async def decide(self, question: Question) -> Answer:
        return Answer.local(self._rule(question.observations))
