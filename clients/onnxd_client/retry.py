"""Whether and when to try again. Pure: the clock stays with the caller, and chance is passed in."""

import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from onnxd_client.errors import DeadlineExceeded, RateLimited, ServerError, Unavailable


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Full-jitter exponential back-off within a budget. `RetryPolicy(max_tries=1)` never retries."""

    max_tries: int = 4
    """Tries of one call, the first included."""
    base: float = 0.1
    """Seconds: the wait before try n+1 is drawn from 0 to base * 2^(n-1)."""
    cap: float = 10.0
    """Seconds: the longest wait that is drawn."""
    longest_hint: float = 60.0
    """Seconds: a server that asks for a longer wait gets none; the error says how long it asked for."""
    budget: float = 0.1
    """Retries per call, over many calls, so that retries never multiply an overload."""
    burst: int = 10
    """Retries that an idle client may spend at once."""

    def __post_init__(self) -> None:
        if self.max_tries < 1:
            raise ValueError(f"max_tries is {self.max_tries}, expected at least 1 (the first try)")
        for name in ("base", "cap", "longest_hint", "budget", "burst"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")


class RetryBudget:
    """Tokens that calls earn and retries spend; shared by all calls of a client, from any thread."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._earned = policy.budget
        self._most = float(policy.burst)
        self._tokens = self._most
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Once for each call."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._earned)

    def spend(self) -> bool:
        """Takes a token for a retry; False when there is none."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class Retries:
    """The tries of one call."""

    def __init__(
        self, policy: RetryPolicy, budget: RetryBudget, chance: Callable[[], float] = random.random
    ) -> None:
        self._policy = policy
        self._budget = budget
        self._chance = chance
        self._tries = 1

    def delay_after(self, error: ServerError, left: float) -> float | None:
        """Seconds to wait before the next try, or None to give up and raise the error.

        `left` is what remains of the call's deadline; a wait never uses it up.
        """
        if not retriable(error) or self._tries >= self._policy.max_tries:
            return None
        delay: float = self._chance() * min(self._policy.cap, self._policy.base * 2 ** (self._tries - 1))
        if error.retry_after is not None:
            if error.retry_after > self._policy.longest_hint:
                return None
            # The server spreads its hints; drawing below one would come back too early.
            delay = max(delay, error.retry_after)
        if delay >= left or not self._budget.spend():
            return None
        self._tries += 1
        return delay


def retriable(error: ServerError) -> bool:
    """Whether the same request may succeed later.

    Every call of this client may be repeated: inference changes nothing, and loading twice is loading once.
    A rate limit without a hint is not retried: nothing says when it ends.
    """
    if error.retry_after == math.inf:
        return False
    if isinstance(error, RateLimited):
        return error.retry_after is not None
    return isinstance(error, Unavailable | DeadlineExceeded)
