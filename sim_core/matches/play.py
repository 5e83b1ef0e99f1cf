"""Plays matches, many at once, in step with each other.

In each tick every policy is asked for all its agents of all matches at once, so that a server sees them
together. A match's course does not depend on its neighbours, so neither on how many are played at once.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from sim_core.arrays import BoolArray, IntArray
from sim_core.game import UNDECIDED, Game, StateT
from sim_core.matches.recording import Recording
from sim_core.policies.policy import NO_REASON, Answer, Policy, Question
from sim_core.replays.writer import MatchRecord


@dataclass(frozen=True, slots=True)
class Fixture:
    """A match to be played: its number, and the policies of team 0 and team 1 by their places."""

    match: int
    policies: tuple[int, int]


def fixtures(matches: int, first: int = 0, pair: tuple[int, int] = (0, 1)) -> list[Fixture]:
    """Matches of two policies, numbered from `first`, that swap sides from each to the next."""
    return [
        Fixture(first + number, pair if number % 2 == 0 else (pair[1], pair[0])) for number in range(matches)
    ]


class Play(Generic[StateT]):
    """Matches of one game and seed."""

    def __init__(self, game: Game[StateT], policies: Sequence[Policy], *, seed: int, parallel: int) -> None:
        self._game = game
        self._policies = policies
        self._seed = seed
        self._parallel = parallel

    async def play(
        self,
        wanted: Sequence[Fixture],
        record: Callable[[MatchRecord], None],
        ticked: Callable[[int], None] = lambda running: None,
    ) -> None:
        """Each match's record is given to `record` when it is over, in no particular order; `ticked` hears
        of every tick how many matches it moved. What a policy raises ends the matches that are running."""
        if not wanted:
            return
        game, coming = self._game, list(reversed(wanted))
        playing = [coming.pop() for _ in range(min(self._parallel, len(coming)))]
        state = game.start(self._seed, _numbers(playing))
        recording = Recording(game, len(playing))
        slots = np.arange(len(playing), dtype=np.int32)
        recording.begin(slots, game.shown(state))
        ticks = np.zeros(len(playing), np.int32)
        running = np.ones(len(playing), np.bool_)
        while running.any():
            answer = await self._ask(state, playing, ticks, running)
            state, events = game.step(state, np.maximum(answer.actions, 0).reshape(len(playing), -1))
            ticks = ticks + running.astype(np.int32)
            shown, winner = game.shown(state), game.winner(state)
            now = slots[running]
            recording.tick(
                now,
                ticks[now],
                shown.take(now),
                events.take(now),
                answer.take(np.repeat(running, _agents(game))),
            )
            ticked(len(now))
            over = slots[running & (winner != UNDECIDED)]
            if not len(over):
                continue
            boards = game.board(state.take(over))
            for slot, board in zip(over.tolist(), boards, strict=True):
                fixture = playing[slot]
                record(
                    recording.finish(
                        slot, fixture.match, int(ticks[slot]), int(winner[slot]), fixture.policies, board
                    )
                )
            refilled = over[: len(coming)]
            running[over] = False
            if len(refilled):
                for slot in refilled.tolist():
                    playing[slot] = coming.pop()
                fresh = game.start(self._seed, _numbers([playing[slot] for slot in refilled.tolist()]))
                state = state.put(refilled, fresh)
                recording.begin(refilled, game.shown(fresh))
                ticks[refilled] = 0
                running[refilled] = True

    async def _ask(
        self, state: StateT, playing: Sequence[Fixture], ticks: IntArray, running: BoolArray
    ) -> Answer:
        """The answers for all agents, [matches * agents]; those that are out have the action -1."""
        game = self._game
        agents = _agents(game)
        policy_of = np.array([fixture.policies for fixture in playing])[:, game.team_of].reshape(-1)
        deciding = (game.shown(state).alive & running[:, None]).reshape(-1)
        everyone = Question(
            match=np.repeat(_numbers(playing), agents),
            tick=np.repeat(ticks, agents),
            agent=np.tile(np.arange(agents, dtype=np.int32), len(playing)),
            team=np.tile(game.team_of, len(playing)),
            observations=game.observe(state).reshape(len(policy_of), -1),
        )
        rows = [np.flatnonzero(deciding & (policy_of == place)) for place in range(len(self._policies))]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(policy.decide(everyone.take(mine)))
                    for policy, mine in zip(self._policies, rows, strict=True)
                    if len(mine)
                ]
        except ExceptionGroup as errors:
            # Of several policies that fail at once, the first says why the matches end.
            raise errors.exceptions[0] from None
        answer = _silence(len(policy_of))
        for mine, task in zip([mine for mine in rows if len(mine)], tasks, strict=True):
            answer = answer.put(mine, task.result())
        return answer


def _silence(rows: int) -> Answer:
    zeros = np.zeros(rows, np.int32)
    return Answer(zeros - 1, zeros + NO_REASON, zeros, zeros.astype(np.int64), zeros.astype(np.float64))


def _numbers(playing: Sequence[Fixture]) -> IntArray:
    return np.array([fixture.match for fixture in playing], np.int32)


def _agents(game: Game[StateT]) -> int:
    return len(game.team_of)
