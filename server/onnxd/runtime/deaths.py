"""How often the processes of one version of a model have died, and when that is too often. Pure."""

from collections import deque
from typing import Final

from onnxd.runtime.worker_process import DEATH_KINDS, Death

MOST: Final = 5
WINDOW_S: Final = 60.0


class Deaths:
    """Shared by the instances of a version: it is the model that kills its processes."""

    def __init__(self) -> None:
        self.counts: Final = dict.fromkeys(DEATH_KINDS, 0)
        """Deaths so far, by kind."""
        self.verdict = ""
        """Why no process is started any more; empty = they still are."""
        self._recent_s: deque[float] = deque(maxlen=MOST)

    def record(self, death: Death, now_s: float) -> None:
        """One more. The verdict falls with the fifth within a minute."""
        self.counts[death.kind] += 1
        self._recent_s.append(now_s)
        if len(self._recent_s) == MOST and now_s - self._recent_s[0] <= WINDOW_S:
            self.verdict = (
                f"stopped after its process had died {MOST} times within {WINDOW_S:g} s, "
                f"the last time because {death.cause}; load it again, or change its files"
            )
