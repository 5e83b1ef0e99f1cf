"""Callers that try again, with the client library's own rule and budget."""

import random
from typing import Final

from onnxd_client.errors import ServerError
from onnxd_client.retry import Retries, RetryBudget, RetryPolicy

ALLOWED_S: Final = 10.0
"""For a call, as far as the waits before its tries go."""


class Callers:
    """Each has a budget of its own."""

    def __init__(self, policy: RetryPolicy | None = None, *, seed: int = 0) -> None:
        self._policy = policy or RetryPolicy()
        self._chance = random.Random(seed).random
        self._budgets: dict[int, RetryBudget] = {}
        self._failed: dict[int, Retries] = {}
        """By request."""

    def begins(self, client: int) -> None:
        """A call, which earns its share of a retry."""
        if client not in self._budgets:
            self._budgets[client] = RetryBudget(self._policy)
        self._budgets[client].earn()

    def delay_after(self, client: int, request: int, error: ServerError) -> float | None:
        """Seconds until the next try; None = it is given up."""
        if request not in self._failed:
            self._failed[request] = Retries(self._policy, self._budgets[client], self._chance)
        return self._failed[request].delay_after(error, ALLOWED_S)
