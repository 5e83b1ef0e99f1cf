"""Rock-paper-scissors is still played as ever."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_core.game import DRAW, UNDECIDED
from sim_core.legacy_rps.game import LIVES, ROUNDS, RockPaperScissors, rps_script

pytestmark = pytest.mark.filterwarnings("ignore::sim_core.legacy_rps.game.LegacyGameWarning")
ROCK, PAPER, SCISSORS = range(3)
MOVES = st.integers(0, 2)


def moves(first: int, second: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    return np.array([[first, second]], np.int32)


@pytest.mark.parametrize(("winner", "loser"), [(PAPER, ROCK), (SCISSORS, PAPER), (ROCK, SCISSORS)])
def test_who_loses_a_round_loses_a_life(winner: int, loser: int) -> None:
    game = RockPaperScissors()
    state = game.start(1, np.zeros(1, np.int32))

    assert game.step(state, moves(winner, loser))[0].health.tolist() == [[LIVES, LIVES - 1]]
    assert game.step(state, moves(loser, winner))[0].health.tolist() == [[LIVES - 1, LIVES]]
    assert game.step(state, moves(winner, winner))[0].health.tolist() == [[LIVES, LIVES]]


@given(st.lists(st.tuples(MOVES, MOVES), min_size=ROUNDS, max_size=ROUNDS))
def test_lives_are_a_ledger_and_both_sides_are_alike(rounds: list[tuple[int, int]]) -> None:
    game = RockPaperScissors()
    here = there = game.start(1, np.zeros(1, np.int32))
    for first, second in rounds:
        before = here.health
        here, events = game.step(here, moves(first, second))
        there, _ = game.step(there, moves(second, first))
        assert np.array_equal(here.health, before - events.damage_taken)
        assert events.damage_dealt.sum() == events.damage_taken.sum()
        assert np.array_equal(here.health, there.health[:, ::-1])
        assert np.array_equal(game.observe(here), game.observe(there)[:, ::-1])

    assert game.winner(here)[0] != UNDECIDED


def test_the_script_beats_whoever_repeats_itself() -> None:
    game = RockPaperScissors()
    state = game.start(1, np.zeros(1, np.int32))
    for _ in range(ROUNDS):
        state, _ = game.step(state, moves(int(rps_script(game.observe(state)[0])[0]), SCISSORS))

    assert game.winner(state).tolist() == [0]


def test_two_who_play_alike_draw() -> None:
    game = RockPaperScissors()
    state = game.start(1, np.zeros(1, np.int32))
    for _ in range(ROUNDS):
        state, _ = game.step(state, moves(ROCK, ROCK))

    assert game.winner(state).tolist() == [DRAW]
