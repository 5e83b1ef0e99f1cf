"""What a policy is to a match: it sees what agents see, and says what they do."""

from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from sim_core.arrays import BoolArray, FloatArray, IntArray, LongArray
from sim_core.game import Arrays
from sim_core.replays.documents import PolicyEntry
from sim_core.replays.schema import Reason

REASONS: Final = tuple(Reason)
NO_REASON: Final = -1


@dataclass(frozen=True, slots=True)
class Question(Arrays):
    """One row for each agent that must decide, in the order of matches and agents."""

    match: IntArray
    tick: IntArray
    """Ticks played before: 0 at the start."""
    agent: IntArray
    team: IntArray
    observations: FloatArray
    """[rows, the game's observation_size]"""


@dataclass(frozen=True, slots=True)
class Answer(Arrays):
    """A row for each row of the question."""

    actions: IntArray
    reasons: IntArray
    """Why it is a fallback, as a place in REASONS; NO_REASON = it is a decision of the policy."""
    version: IntArray
    """Of the model that answered; 0 = none did."""
    weights: LongArray
    """The fingerprint that its answer held; 0 = none."""
    latency_ms: npt.NDArray[np.float64]

    @property
    def fallback(self) -> BoolArray:
        fallback: BoolArray = self.reasons != NO_REASON
        return fallback

    @classmethod
    def local(cls, actions: IntArray) -> Self:
        """Decided here, at once."""
        zeros = np.zeros(len(actions), np.int32)
        return cls(actions, zeros + NO_REASON, zeros, zeros.astype(np.int64), zeros.astype(np.float64))


class Policy(Protocol):
    """A row's decision depends on that row alone, and on what the policy was made from."""

    entry: PolicyEntry

    async def decide(self, question: Question) -> Answer: ...
