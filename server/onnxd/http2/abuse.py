"""How much of what is allowed once is allowed often: pure counters; the time is the caller's."""

from typing import Final

_USELESS: Final = 2000
_USELESS_FOR_EACH: Final = 8
_SETTINGS_AT_ONCE: Final = 50
_SETTINGS_PER_S: Final = 5.0
_STRIKES: Final = 2
_RARELY_S: Final = 7200.0


class Allowance:
    """So many at once, and so many more each second (the generic cell rate algorithm)."""

    __slots__ = ("_each_s", "_full_at_s", "_slack_s")

    def __init__(self, at_once: int, per_second: float) -> None:
        self._each_s: Final = 1.0 / per_second
        self._slack_s: Final = at_once * self._each_s
        self._full_at_s = 0.0

    def take(self, now_s: float) -> bool:
        """False = too many."""
        self._full_at_s = max(self._full_at_s, now_s) + self._each_s
        return self._full_at_s - now_s <= self._slack_s + 1e-9


def settings_allowance() -> Allowance:
    """Of SETTINGS frames, each of which is acknowledged and may touch every stream."""
    return Allowance(_SETTINGS_AT_ONCE, _SETTINGS_PER_S)


class PingStrikes:
    """gRPC's rule for clients that probe: no more often than the interval, and hardly ever without a call.
    Whoever was sent headers or data since is forgiven; the third offence is one too many."""

    __slots__ = ("_interval_s", "_last_s", "_sent_frames", "_strikes", "_without_calls")

    def __init__(self, min_interval_s: float, *, without_calls: bool) -> None:
        self._interval_s: Final = min_interval_s
        self._without_calls: Final = without_calls
        self._last_s = float("-inf")
        self._sent_frames = 0
        self._strikes = 0

    def take(self, now_s: float, *, streams: int, sent_frames: int) -> bool:
        """A PING has come; False = too many. `sent_frames`: of headers and data, in all."""
        if sent_frames != self._sent_frames:
            self._sent_frames = sent_frames
            self._strikes = 0
            self._last_s = float("-inf")
        interval_s = self._interval_s if streams or self._without_calls else max(_RARELY_S, self._interval_s)
        if now_s - self._last_s < interval_s:
            self._strikes += 1
        else:
            self._last_s = now_s
        return self._strikes <= _STRIKES


class Useless:
    """Frames that are allowed and bring nothing: empty DATA, PRIORITY, kinds that nobody knows, windows by
    the octet. Many are forgiven where work is done as well, so that a request costs no count of its own."""

    __slots__ = ("_count", "_work")

    def __init__(self) -> None:
        self._count = 0
        self._work = 0

    def take(self, work: int) -> bool:
        """One has come; False = too many. `work`: a number that grows with what is asked and answered."""
        self._count += 1
        if self._count <= _USELESS:
            return True
        enough = (work - self._work) * _USELESS_FOR_EACH >= self._count
        self._count = 0
        self._work = work
        return enough
