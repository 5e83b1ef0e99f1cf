"""How the requests of one priority level wait: pure, and settled for each request when it arrives."""

from dataclasses import dataclass
from typing import Literal

TimeoutAction = Literal["reject", "delay"]
"""What becomes of a request that has waited for as long as it may: it is refused, or it goes behind all of
its level that have not."""


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """Of one level."""

    max_queue_size: int = 1024
    """Requests of the level that may wait; one more is refused at once."""
    default_timeout: float = 0.0
    """Seconds that a request may wait when it does not say; 0 = as long as its own deadline allows."""
    timeout_action: TimeoutAction = "reject"
    allow_timeout_override: bool = True
    """A request may say how long it waits, if that is shorter than the default."""

    def timeout_s(self, own_s: float | None) -> float:
        """How long a request may wait that asks for `own_s`; 0 = no bound."""
        default_s = self.default_timeout
        if own_s and self.allow_timeout_override and (own_s < default_s or not default_s):
            return own_s
        return default_s


def level_of(priority: int, levels: int, default_level: int) -> int:
    """The level of a request that asks for `priority`: 1 is the highest, and what is no level is the default.

    Without levels (0 or 1 of them) there is one, and it is 1; `default_level` 0 = the lowest.
    """
    if levels <= 1:
        return 1
    return priority if 1 <= priority <= levels else default_level or levels
