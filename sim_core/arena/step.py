"""One tick of many matches: (state, actions) -> (state, events), pure.

All agents act at once: moves first, then blows and healing on the places after the moves, then packs. Where
several claim the same, what decides is the slot within the team, which a mirror leaves as it is; so neither
side has an advantage.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sim_core.arena.actions import Action, Event
from sim_core.arena.rules import AGENTS, TEAM_SIZE, Rules
from sim_core.arena.state import ArenaState
from sim_core.arrays import BoolArray, IntArray
from sim_core.game import NO_AGENT, Events

TEAM_OF: IntArray = np.repeat(np.array([0, 1], np.int32), TEAM_SIZE)
_SLOT: IntArray = np.tile(np.arange(TEAM_SIZE, dtype=np.int32), 2)
_SAME_TEAM: BoolArray = TEAM_OF[:, None] == TEAM_OF[None, :]
_AHEAD: IntArray = np.where(TEAM_OF == 0, 1, -1).astype(np.int32)
_NEVER = np.iinfo(np.int32).max


def step_matches(
    rules: Rules, state: ArenaState, actions: IntArray, running: BoolArray
) -> tuple[ArenaState, Events]:
    """One tick of the matches that are `running`; nothing happens in the others."""
    acts = state.alive & running[:, None]
    cost = _costs(rules)[actions]
    exhausted = acts & (cost > state.energy)
    done = np.where(acts & ~exhausted, actions, Action.WAIT)
    spent = np.where(acts, _costs(rules)[done], 0)

    x, y, moved, blocked = _move(rules, state, done)
    reached = _distances(x, y)
    blows = _strike(rules, state, done, reached)
    after_blows = state.health - blows.taken
    died = acts & (after_blows <= 0)
    healing = _heal(rules, after_blows, done, reached)
    health = after_blows + healing.taken

    rested = rules.recovery + np.where(done == Action.WAIT, rules.rest, 0)
    lives = acts & ~died
    energy = state.energy - spent
    gained = np.where(lives, np.minimum(rested, rules.energy - energy), 0)
    energy = energy + gained

    packs = _take_packs(rules, state, x, y, lives, health, energy)
    flags = _flags(
        {
            Event.MOVED: moved,
            Event.BLOCKED: blocked,
            Event.EXHAUSTED: exhausted,
            Event.HIT: blows.given > 0,
            Event.MISSED: (done == Action.ATTACK) & acts & (blows.target == NO_AGENT),
            Event.WAS_HIT: blows.taken > 0,
            Event.DEFENDED: (blows.taken > 0) & (done == Action.DEFEND),
            Event.HEALED: healing.given > 0,
            Event.TOOK_HEALTH: packs.on_health,
            Event.TOOK_ENERGY: packs.on_energy,
            Event.KILLED: blows.last,
            Event.DIED: died,
        }
    )
    team_damage = blows.given @ _SAME_TEAM.astype(np.int32)
    events = Events(
        target=np.where(blows.target != NO_AGENT, blows.target, healing.target).astype(np.int32),
        damage_dealt=blows.given.astype(np.int32),
        damage_taken=blows.taken.astype(np.int32),
        healing_given=healing.given.astype(np.int32),
        healing_received=healing.taken.astype(np.int32),
        pack_health=packs.health,
        energy_spent=spent.astype(np.int32),
        energy_gained=(gained + packs.energy).astype(np.int32),
        flags=flags,
        reward=np.where(acts, team_damage - (blows.taken @ _SAME_TEAM.astype(np.int32)), 0).astype(np.int32),
    )
    waiting = np.maximum(state.pack_wait - running[:, None], 0)
    after = ArenaState(
        tick=(state.tick + running).astype(np.int32),
        x=x,
        y=y,
        health=(health + packs.health).astype(np.int32),
        energy=(energy + packs.energy).astype(np.int32),
        obstacles=state.obstacles,
        pack_x=state.pack_x,
        pack_y=state.pack_y,
        pack_wait=np.where(packs.gone, rules.pack_ticks, waiting).astype(np.int32),
    )
    return after, events


def _costs(rules: Rules) -> IntArray:
    costs = np.zeros(len(Action), np.int32)
    costs[[Action.UP, Action.DOWN, Action.BACK, Action.AHEAD]] = rules.move_cost
    costs[Action.ATTACK], costs[Action.DEFEND] = rules.attack_cost, rules.defend_cost
    costs[Action.HEAL] = rules.heal_cost
    return costs


def _move(rules: Rules, state: ArenaState, done: IntArray) -> tuple[IntArray, IntArray, BoolArray, BoolArray]:
    """Into a cell that was free at the start of the tick, unless two want it: then neither gets it."""
    dx = ((done == Action.AHEAD).astype(np.int32) - (done == Action.BACK)) * _AHEAD
    dy = (done == Action.DOWN).astype(np.int32) - (done == Action.UP)
    wants = (dx != 0) | (dy != 0)
    to_x, to_y = state.x + dx, state.y + dy
    outside = (to_x < 0) | (to_x >= rules.width) | (to_y < 0) | (to_y >= rules.height)
    in_x, in_y = np.clip(to_x, 0, rules.width - 1), np.clip(to_y, 0, rules.height - 1)
    matches = np.arange(len(state.tick))[:, None]
    to_cell = to_y * rules.width + to_x
    cell = state.y * rules.width + state.x
    occupied = ((to_cell[:, :, None] == cell[:, None, :]) & state.alive[:, None, :]).any(axis=2)
    # Who wants to leave the ground wants no cell, though the number would be one of another row's.
    shared = (to_cell[:, :, None] == to_cell[:, None, :]) & (wants & ~outside)[:, None, :]
    contested = shared.sum(axis=2) > 1
    free = ~(outside | state.obstacles[matches, in_y, in_x] | occupied | contested)
    moved = wants & free
    x, y = np.where(moved, to_x, state.x), np.where(moved, to_y, state.y)
    return x.astype(np.int32), y.astype(np.int32), moved, wants & ~free


def _distances(x: IntArray, y: IntArray) -> IntArray:
    """Between any two agents, as a king moves, [matches, agents, agents]."""
    dx, dy = abs(x[:, :, None] - x[:, None, :]), abs(y[:, :, None] - y[:, None, :])
    return np.asarray(np.maximum(dx, dy), np.int32)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """What agents gave each other, [matches, agents] each."""

    target: IntArray
    given: IntArray
    taken: IntArray
    last: BoolArray
    """Whose gift used up the last of what the target could take."""


def _strike(rules: Rules, state: ArenaState, done: IntArray, distance: IntArray) -> _Exchange:
    """Each attack goes to the enemy within reach that had the least health."""
    target = _weakest(state.health, (distance <= rules.reach) & ~_SAME_TEAM, done == Action.ATTACK)
    damage = np.where(done == Action.DEFEND, rules.defended_damage, rules.damage)
    return _exchange(target, damage, state.health)


def _heal(rules: Rules, health: IntArray, done: IntArray, distance: IntArray) -> _Exchange:
    """Healing goes to the one of its own within reach, the healer included, that has least health left."""
    heals = (done == Action.HEAL) & (health > 0)
    target = _weakest(health, (distance <= rules.heal_reach) & _SAME_TEAM, heals)
    amount = np.full_like(health, rules.healing)
    room = np.where(health > 0, rules.health - health, 0)
    return _exchange(target, amount, room)


def _weakest(health: IntArray, possible: BoolArray, acts: BoolArray) -> IntArray:
    rank = np.where(possible & (health > 0)[:, None, :], (health * AGENTS + _SLOT)[:, None, :], _NEVER)
    best = rank.argmin(axis=2)
    found = acts & (rank.min(axis=2) != _NEVER)
    return np.asarray(np.where(found, best, NO_AGENT), np.int32)


def _exchange(target: IntArray, amount: IntArray, room: IntArray) -> _Exchange:
    """Each gives its target what this takes from one giver, in the order of slots, until there is no room."""
    pairs = target[:, :, None] == np.arange(AGENTS)[None, None, :]
    offered = np.cumsum(pairs * amount[:, None, :], axis=1)
    accepted = np.minimum(offered, np.maximum(room, 0)[:, None, :])
    credited = np.diff(accepted, axis=1, prepend=0)
    last = (credited > 0) & (accepted == room[:, None, :])
    return _Exchange(target, credited.sum(axis=2), credited.sum(axis=1), last.any(axis=2))


@dataclass(frozen=True, slots=True)
class _Taken:
    """What agents found, [matches, agents] each."""

    on_health: BoolArray
    on_energy: BoolArray
    health: IntArray
    energy: IntArray
    gone: BoolArray
    """[matches, packs]: which packs were taken."""


def _take_packs(
    rules: Rules,
    state: ArenaState,
    x: IntArray,
    y: IntArray,
    lives: BoolArray,
    health: IntArray,
    energy: IntArray,
) -> _Taken:
    """Whoever stands on a pack that is there takes it, also one that has no room for it."""
    same = (x[:, :, None] == state.pack_x[:, None, :]) & (y[:, :, None] == state.pack_y[:, None, :])
    taken = same & (state.pack_wait == 0)[:, None, :] & lives[:, :, None]
    on_health, on_energy = taken[:, :, :2].any(axis=2), taken[:, :, 2:].any(axis=2)
    return _Taken(
        on_health,
        on_energy,
        np.minimum(on_health * rules.health_pack, rules.health - health).astype(np.int32),
        np.minimum(on_energy * rules.energy_pack, rules.energy - energy).astype(np.int32),
        taken.any(axis=1),
    )


def _flags(conditions: Mapping[Event, BoolArray]) -> IntArray:
    flags = [np.where(condition, int(event), 0) for event, condition in conditions.items()]
    return np.asarray(sum(flags), np.int32)
