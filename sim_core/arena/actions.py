"""What an agent of the arena can do in a tick, and what can happen to it."""

from enum import IntEnum, IntFlag


class Action(IntEnum):
    """Moves are told from the agent's own side: AHEAD is towards where the other team started."""

    WAIT = 0
    UP = 1
    DOWN = 2
    BACK = 3
    AHEAD = 4
    ATTACK = 5
    DEFEND = 6
    HEAL = 7


class Event(IntFlag):
    """What a tick was to an agent."""

    MOVED = 1
    BLOCKED = 2
    """It wanted to move, and something or someone was in the way."""
    EXHAUSTED = 4
    """It lacked the energy for its action, and waited instead."""
    HIT = 8
    """Its attack took health from someone."""
    MISSED = 16
    """Its attack found nobody within reach."""
    WAS_HIT = 32
    DEFENDED = 64
    """A blow was weakened by its defence."""
    HEALED = 128
    """Its healing gave health to someone."""
    TOOK_HEALTH = 256
    TOOK_ENERGY = 512
    KILLED = 1024
    """Its blow took someone's last health."""
    DIED = 2048
