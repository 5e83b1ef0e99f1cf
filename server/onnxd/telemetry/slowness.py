"""What counts as slow: more than a time that is set, or more than about 99 of 100 requests take."""

import math
from typing import Final

_WARM: Final = 100
"""Requests before anything can be slow: the first ones are slower than what follows, or are all there is."""
_UP: Final = 1.05
_DOWN: Final = 1 - 0.05 / 99
"""One up for 99 down leaves the limit where it is: that is where one of 100 requests is above it."""


class Slowness:
    """The limit of one model. A number that every request moves a little: no sample of them is kept."""

    __slots__ = ("_left", "limit_ns")

    def __init__(self, fixed_ns: int | None = None) -> None:
        """`fixed_ns` None = it follows the requests."""
        self.limit_ns: float = math.inf if fixed_ns is None else fixed_ns
        self._left = -1 if fixed_ns is not None else _WARM

    def is_slow(self, total_ns: int) -> bool:
        """Whether a request that took so long was slow; it counts from now on."""
        limit_ns = self.limit_ns
        if self._left > 0:
            # Until then the longest so far, from which the limit comes down.
            self.limit_ns = total_ns if limit_ns == math.inf else max(limit_ns, total_ns)
            self._left -= 1
            return False
        if total_ns > limit_ns:
            if not self._left:
                self.limit_ns = limit_ns * _UP
            return True
        if not self._left:
            self.limit_ns = limit_ns * _DOWN
        return False

    @property
    def known_ns(self) -> int | None:
        """The limit; None = not known yet."""
        return None if self._left > 0 or self.limit_ns == math.inf else round(self.limit_ns)
