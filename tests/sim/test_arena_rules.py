"""What holds in the arena whatever is played."""

from dataclasses import fields, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_core.arena.actions import Action, Event
from sim_core.arena.game import Arena
from sim_core.arena.observe import OBSERVATION_SIZE
from sim_core.arena.state import ArenaState
from sim_core.arrays import IntArray
from sim_core.game import DRAW, UNDECIDED, Arrays, Events
from tests.sim.moments import MATCHES, RULES, mirrored, moments, swapped

Moment = tuple[ArenaState, IntArray]
GAME = Arena()
few = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 2**63 - 1)


def same(one: Arrays, other: Arrays) -> bool:
    return all(np.array_equal(getattr(one, each.name), getattr(other, each.name)) for each in fields(one))  # type: ignore[arg-type]


@few
@given(moments())
def test_health_is_a_ledger(moment: Moment) -> None:
    before, actions = moment
    after, events = GAME.step(before, actions)

    booked = before.health - events.damage_taken + events.healing_received + events.pack_health
    assert np.array_equal(after.health, booked)
    assert np.array_equal(events.damage_dealt.sum(axis=1), events.damage_taken.sum(axis=1))
    assert np.array_equal(events.healing_given.sum(axis=1), events.healing_received.sum(axis=1))
    assert after.health.min() >= 0
    assert after.health.max() <= RULES.health


@few
@given(moments())
def test_energy_is_a_ledger(moment: Moment) -> None:
    before, actions = moment
    after, events = GAME.step(before, actions)

    assert np.array_equal(after.energy, before.energy - events.energy_spent + events.energy_gained)
    assert after.energy.min() >= 0
    assert after.energy.max() <= RULES.energy
    assert events.energy_spent.min() >= 0
    assert events.energy_gained.min() >= 0


@few
@given(moments())
def test_whoever_is_out_stays_as_it_is(moment: Moment) -> None:
    before, actions = moment
    after, events = GAME.step(before, actions)
    out = ~before.alive

    for name in ("x", "y", "health", "energy"):
        assert np.array_equal(getattr(after, name)[out], getattr(before, name)[out])
    assert not events.flags[out].any()


@few
@given(moments())
def test_nobody_stands_in_an_obstacle_or_on_another(moment: Moment) -> None:
    after, _ = GAME.step(*moment)

    for match in range(MATCHES):
        cells = list(zip(after.y[match], after.x[match], strict=True))
        standing = [cell for cell, alive in zip(cells, after.alive[match], strict=True) if alive]
        assert len(set(standing)) == len(standing)
        assert not any(after.obstacles[match][cell] for cell in standing)


@few
@given(moments())
def test_a_mirror_image_goes_on_as_the_mirror_image(moment: Moment) -> None:
    state, actions = moment
    after, events = GAME.step(state, actions)
    other, other_events = GAME.step(mirrored(state), swapped(actions))

    assert same(mirrored(after), other)
    assert np.array_equal(swapped(events.damage_dealt), other_events.damage_dealt)
    assert np.array_equal(swapped(events.flags), other_events.flags)
    ends, other_ends = GAME.winner(after), GAME.winner(other)
    assert np.array_equal(np.where(ends >= 0, 1 - ends, ends), other_ends)


@few
@given(moments())
def test_both_sides_see_the_same_of_a_mirror_image(moment: Moment) -> None:
    state, _ = moment
    here, there = GAME.observe(state), GAME.observe(mirrored(state))

    assert np.array_equal(np.concatenate([here[:, 4:], here[:, :4]], axis=1), there)


@few
@given(moments())
def test_observations_are_whole_64ths(moment: Moment) -> None:
    seen = GAME.observe(moment[0])

    assert seen.dtype == np.float32
    assert seen.shape == (MATCHES, 8, OBSERVATION_SIZE)
    assert np.array_equal(seen * 64, np.rint(seen * 64))
    assert abs(seen).max() <= 1


@few
@given(moments(), st.integers(0, MATCHES - 1))
def test_a_match_goes_on_alone_as_among_others(moment: Moment, place: int) -> None:
    state, actions = moment
    alone = slice(place, place + 1)
    after, events = GAME.step(state, actions)
    after_alone, events_alone = GAME.step(state.take(alone), actions[alone])

    assert same(after.take(alone), after_alone)
    assert same(events.take(alone), events_alone)
    assert np.array_equal(GAME.observe(after)[alone], GAME.observe(after_alone))


@few
@given(moments())
def test_a_step_changes_nothing_in_place(moment: Moment) -> None:
    state, actions = moment
    copy = state.take(slice(None)).put(np.arange(0), state.take(np.arange(0)))
    GAME.step(state, actions)
    GAME.observe(state)

    assert same(state, copy)


@few
@given(SEEDS, st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5))
def test_a_ground_is_its_seeds_and_numbers_alone(seed: int, numbers: list[int]) -> None:
    together = GAME.start(seed, np.array(numbers, np.int32))

    for place, number in enumerate(numbers):
        assert same(together.take(slice(place, place + 1)), GAME.start(seed, np.array([number], np.int32)))


@few
@given(SEEDS)
def test_every_free_cell_can_be_reached_and_the_ground_is_its_mirror_image(seed: int) -> None:
    state = GAME.start(seed, np.arange(5, dtype=np.int32))

    assert same(mirrored(state), state)
    for match in range(5):
        free = ~state.obstacles[match]
        reached = np.zeros_like(free)
        reached[0, 0] = True
        for _ in range(free.size):
            reached[1:] |= reached[:-1]
            reached[:-1] |= reached[1:]
            reached[:, 1:] |= reached[:, :-1]
            reached[:, :-1] |= reached[:, 1:]
            reached &= free
        assert np.array_equal(reached, free)
        assert not state.obstacles[match, state.pack_y[match], state.pack_x[match]].any()


@settings(max_examples=5, deadline=None)
@given(SEEDS)
def test_every_match_ends_at_the_latest_with_the_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = GAME.start(seed, np.arange(8, dtype=np.int32))
    for _ in range(RULES.ticks):
        assert state.tick.max() < RULES.ticks
        state, _ = GAME.step(state, rng.integers(0, len(Action), (8, 8)).astype(np.int32))

    assert UNDECIDED not in GAME.winner(state)


def duel(action: Action, other: Action, *, health: int = 64) -> Events:
    """What happens to agents 0 and 4, alone on an empty ground and within reach of each other."""
    state = GAME.start(1, np.zeros(1, np.int32))
    agents = np.arange(8, dtype=np.int32)[None]
    state = replace(
        state,
        x=np.where(agents == 0, 4, 5).astype(np.int32),
        y=np.full((1, 8), 4, np.int32),
        health=np.where(agents % 4 == 0, health, 0).astype(np.int32),
        obstacles=np.zeros_like(state.obstacles),
        pack_wait=np.full((1, 4), 9, np.int32),
    )
    _, events = GAME.step(state, np.where(agents == 0, action, other).astype(np.int32))
    return events


def test_a_blow_takes_health_and_a_defended_one_less() -> None:
    assert duel(Action.ATTACK, Action.WAIT).damage_taken[0, 4] == RULES.damage
    assert duel(Action.ATTACK, Action.DEFEND).damage_taken[0, 4] == RULES.defended_damage


def test_both_can_fall_in_one_tick_and_then_nobody_has_won() -> None:
    events = duel(Action.ATTACK, Action.ATTACK, health=3)
    nobody = replace(GAME.start(1, np.zeros(1, np.int32)), health=np.zeros((1, 8), np.int32))

    assert [bool(events.flags[0, agent] & Event.DIED) for agent in (0, 4)] == [True, True]
    assert GAME.winner(nobody).tolist() == [DRAW]
