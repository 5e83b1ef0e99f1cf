"""Which of many are looked at, when a share of them is to be, at random."""

import math
import random
from collections.abc import Callable
from typing import Final

_LONGEST: Final = 2.0**62


def gaps_at_random(share: float) -> Callable[[], int] | None:
    """What says how many to pass by before each one that is looked at, so that each has the same chance.

    `share` is below 1; None = none is ever looked at, or one in more than there will be.
    """
    # Drawn from the geometric distribution: one draw for each that is looked at, instead of one for all.
    scale = math.log1p(-share) if share > 0.0 else 0.0
    if scale == 0.0:
        return None
    # Which ones they are is no secret, and random() is never 1.
    return lambda: int(min(math.log(1.0 - random.random()) / scale, _LONGEST))  # noqa: S311
