"""A policy that is a model behind a server."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from onnxd_client import (
    AsyncClient,
    ConnectFailed,
    DeadlineExceeded,
    InferResult,
    InvalidRequest,
    NotFound,
    RateLimited,
    ServerError,
    ServerFault,
    Unavailable,
)
from sim_core.arrays import AnyArray, FloatArray
from sim_core.errors import BadPolicy, ServerAway
from sim_core.policies.choice import choose
from sim_core.policies.policy import REASONS, Answer, Question
from sim_core.replays.documents import PolicyEntry
from sim_core.replays.schema import Reason

REQUEST_PER = Literal["agent", "team"]

_REASON_OF: Final[Mapping[type[ServerError], Reason]] = {
    RateLimited: Reason.RATE_LIMITED,
    DeadlineExceeded: Reason.DEADLINE,
    Unavailable: Reason.UNAVAILABLE,
    NotFound: Reason.NOT_FOUND,
    ServerFault: Reason.FAULT,
    InvalidRequest: Reason.INVALID,
}
SHED: Final[tuple[type[ServerError], ...]] = (Unavailable, RateLimited, DeadlineExceeded)
"""What a busy server may answer: nothing that asking for something else would mend."""
ANYTHING: Final[tuple[type[ServerError], ...]] = tuple(_REASON_OF)
"""For those who break models on purpose."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a server is asked."""

    per: REQUEST_PER = "agent"
    """One request for each agent, which leaves the batching to the server, or one for each team."""
    deadline_s: float = 5.0
    """For a decision, the client's retries included."""
    fallback: int = 0
    """The action that is taken where no answer came."""
    in_flight: int = 512
    """Requests of a policy that wait for an answer at once, at most; a server's queue has an end too."""
    tolerated: tuple[type[ServerError], ...] = SHED
    """What is answered by the fallback; any other error ends the matches."""


@dataclass(frozen=True, slots=True)
class Tensors:
    """The names by which a model is asked, and the fingerprint of its first answer if it gives one."""

    observation: str
    scores: str
    actions: int
    """Scores in a row."""
    weights: str | None = None
    fingerprint: int | None = None


class ServedPolicy:
    """Asks for the agents of a tick all at once. `sim_core.policies.opening` makes them."""

    def __init__(
        self,
        client: AsyncClient,
        name: str,
        model: str,
        version: int | None,
        tensors: Tensors,
        asking: Asking,
    ) -> None:
        content = None if tensors.fingerprint is None else f"{tensors.fingerprint % 2**64:016x}"
        self.entry = PolicyEntry(name, "served", model, version, content)
        self._client = client
        self._model = model
        self._tensors = tensors
        self._asking = asking
        self._room = asyncio.Semaphore(asking.in_flight)

    async def decide(self, question: Question) -> Answer:
        """A row that the server shed gets the fallback action.

        Raises ServerAway when nothing answered any of the rows, and BadPolicy for an error that is not
        tolerated.
        """
        rows = len(question.match)
        answer = Answer.local(np.zeros(rows, np.int32))
        groups = self._groups(question)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask(question.observations[group_rows])) for group_rows in groups]
        replies = [task.result() for task in tasks]
        lost = [error for reply in replies if isinstance(error := reply[0], ConnectFailed)]
        if len(lost) == len(replies):
            raise ServerAway(f"policy {self.entry.name}: nothing answers: {lost[0].message}")
        for group_rows, (reply, latency_ms) in zip(groups, replies, strict=True):
            answer.latency_ms[group_rows] = latency_ms
            if isinstance(reply, ServerError):
                answer.actions[group_rows] = self._asking.fallback
                answer.reasons[group_rows] = REASONS.index(self._reason(reply))
                continue
            answer.actions[group_rows] = choose(reply[self._tensors.scores])
            answer.version[group_rows] = int(reply.model_version) if reply.model_version.isdecimal() else 0
            if self._tensors.weights is not None:
                answer.weights[group_rows] = reply[self._tensors.weights].reshape(-1)
        return answer

    def _groups(self, question: Question) -> list[AnyArray]:
        """The rows of each request."""
        rows = np.arange(len(question.match))
        if self._asking.per == "agent":
            return [rows[place : place + 1] for place in range(len(rows))]
        team = question.match.astype(np.int64) * 2 + question.team
        return [rows[team == each] for each in np.unique(team)]

    async def _ask(self, observations: FloatArray) -> tuple[InferResult | ServerError, float]:
        """What came back, and how many milliseconds after it was sent."""
        outputs = [name for name in (self._tensors.scores, self._tensors.weights) if name is not None]
        async with self._room:
            began = time.perf_counter()
            try:
                reply: InferResult | ServerError = await self._client.infer(
                    self._model,
                    {self._tensors.observation: observations},
                    version=self.entry.version,
                    outputs=outputs,
                    deadline=self._asking.deadline_s,
                )
            except ServerError as error:
                reply = error
            latency_ms = (time.perf_counter() - began) * 1000
        if isinstance(reply, InferResult) and (odd := self._oddity(reply, len(observations))) is not None:
            reply = InvalidRequest(f"it does not fit the game any more: {odd}")
        return reply, latency_ms

    def _oddity(self, reply: InferResult, rows: int) -> str | None:
        """What an answer has that it had not when the policy was opened: the model may have been replaced."""
        scores = reply[self._tensors.scores]
        if scores.shape != (rows, self._tensors.actions):
            return f"scores of shape {list(scores.shape)}, expected {[rows, self._tensors.actions]}"
        if self._tensors.weights is not None and (weights := reply[self._tensors.weights]).size != rows:
            return f"weights of shape {list(weights.shape)}, expected {[rows, 1]}"
        return None

    def _reason(self, error: ServerError) -> Reason:
        if not isinstance(error, self._asking.tolerated):
            raise BadPolicy(f"policy {self.entry.name}: {error.message}") from error
        return next(reason for kind, reason in _REASON_OF.items() if isinstance(error, kind))
