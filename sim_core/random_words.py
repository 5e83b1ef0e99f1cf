"""Random numbers by place instead of by turn: Philox is keyed by the seed, the match and what they are for.

So a match draws the same numbers whatever is played beside it, in whatever order. Only raw words are used:
NumPy promises their values for ever, and those of `Generator`'s methods it does not.
"""

from enum import IntEnum

import numpy as np

from sim_core.arrays import IntArray, WordArray


class Purpose(IntEnum):
    """What the numbers are for: each has a stream of its own."""

    GROUND = 0
    RANDOM_POLICY = 1


def random_words(seed: int, match: int, purpose: Purpose, count: int, lane: int = 0) -> WordArray:
    """`count` words of 64 bits. `lane` tells apart those who draw for the same purpose."""
    bits = np.random.Philox(key=np.array([seed, match], np.uint64), counter=[0, 0, lane, int(purpose)])
    words: WordArray = bits.random_raw(count)
    return words


def random_rows(seed: int, matches: IntArray, purpose: Purpose, count: int, lane: int = 0) -> WordArray:
    """The words of several matches, [matches, count]."""
    rows = [random_words(seed, int(match), purpose, count, lane) for match in matches]
    return np.stack(rows) if rows else np.zeros((0, count), np.uint64)
