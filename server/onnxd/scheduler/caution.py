"""How much longer than predicted an answer is taken to need, learnt from those that were let in vain. Pure.

What is predicted for a request at the end of a queue is off where others come meanwhile, or a machine has
other things to do as well. Whoever is let in then, and misses its deadline, has waited for nothing: so each
such miss has the server reckon with more, and each request that is let in with a little less again. It
settles where one in MISSED is let in in vain (Robbins and Monro 1951), if any are.
"""

from typing import Final

LEAST: Final = 1.2
"""The simulated worst case of one caller alone."""
MOST: Final = 2.0
"""A server that refuses whatever takes half of the time to its deadline is cautious enough."""
_STEP: Final = 0.02
_MISSED: Final = 200


class Caution:
    """Of one model, or of one of several who wait for it."""

    __slots__ = ("factor",)

    def __init__(self) -> None:
        self.factor = LEAST
        """An answer that is behind others takes as many times what is predicted."""

    def let_in(self) -> None:
        """A request, whose deadline the prediction says will be met."""
        self.factor = max(LEAST, self.factor - _STEP / _MISSED)

    def missed(self) -> None:
        """Its deadline, by one that was let in."""
        self.factor = min(MOST, self.factor + _STEP)
