"""Whether a worker that has ended is started again, and after how long. Pure."""

from collections import deque
from typing import Final

MOST_DEATHS: Final = 5
WITHIN_S: Final = 60.0
_DELAYS_S: Final = (0.0, 0.1, 0.5, 2.0)


class Deaths:
    """Of all workers together: a cause that is in one of them is mostly in all."""

    def __init__(self) -> None:
        self._when_s: deque[float] = deque(maxlen=MOST_DEATHS)

    def note(self, now_s: float) -> float | None:
        """One more has died. After how many seconds to start another; None = not again: the fifth within a
        minute is the last."""
        while self._when_s and now_s - self._when_s[0] > WITHIN_S:
            self._when_s.popleft()
        self._when_s.append(now_s)
        if len(self._when_s) >= MOST_DEATHS:
            return None
        return _DELAYS_S[len(self._when_s) - 1]
