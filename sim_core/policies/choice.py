"""From scores to an action."""

from typing import Final

import numpy as np

from sim_core.arrays import FloatArray, IntArray

SCORE_STEPS: Final = 1024


def choose(scores: FloatArray) -> IntArray:
    """The action with the highest score, [..., actions] to [...]: of equals the lowest number; of no number,
    never that one.

    Scores are rounded to 1024ths first. A server may add a row up in another order when it runs it in
    another batch, and the last bits of equal scores then differ; rounded, they are equal again and the rule
    for equals holds. That makes it rare that a batch size shows in an action, not impossible: the shipped
    policies, whose arithmetic is exact, are what rules it out (sim_core.training.network).
    """
    # In FP64: the product of a large FP32 and the steps would be too large for FP32.
    rounded = np.rint(np.where(np.isnan(scores), -np.inf, scores).astype(np.float64) * SCORE_STEPS)
    return np.asarray(rounded.argmax(axis=-1), np.int32)
