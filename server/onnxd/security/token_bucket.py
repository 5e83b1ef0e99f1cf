"""Token buckets: so many a second on average, and so many at once. Pure; the time is the caller's.

A bucket is one number, the time at which it will be full again (the generic cell rate algorithm), and so
neither a timer nor a count of tokens that somebody has to fill up.
"""

import math
from collections import OrderedDict
from typing import Final


class Bucket:
    """One bucket, full at the start."""

    __slots__ = ("_each_s", "_full_at_s", "_slack_s")

    def __init__(self, per_second: float, burst: int) -> None:
        """`burst`: how many tokens it holds, one at least."""
        self._each_s: Final = 1.0 / per_second
        self._slack_s: Final = (burst - 1) * self._each_s
        self._full_at_s = 0.0

    def take(self, now_s: float) -> float:
        """Take a token. 0 = taken; otherwise the seconds until there is one, and nothing has changed."""
        full_at_s = max(self._full_at_s, now_s)
        wait_s = full_at_s - self._slack_s - now_s
        if wait_s > 1e-9:  # less is the rounding of the sum
            return wait_s
        self._full_at_s = full_at_s + self._each_s
        return 0.0

    def left(self, now_s: float) -> int:
        """Tokens in it."""
        full_at_s = max(self._full_at_s, now_s)
        return max(0, math.floor((now_s + self._slack_s - full_at_s) / self._each_s + 1 + 1e-6))

    def full_in_s(self, now_s: float) -> float:
        """When it has all of them, if nobody takes one."""
        return max(0.0, self._full_at_s - now_s)


class Buckets:
    """A bucket for each name, as many as may be: those that were asked least recently are forgotten."""

    def __init__(self, per_second: float, burst: int, *, at_most: int) -> None:
        self._per_second: Final = per_second
        self._burst: Final = burst
        self._at_most: Final = at_most
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str, now_s: float) -> float:
        """As Bucket.take."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(self._per_second, self._burst)
            if len(self._buckets) > self._at_most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(name)
        return bucket.take(now_s)
