"""A served policy whose every answer is entered in the soak's ledger."""

import asyncio

from sim_core.policies.policy import Answer, Policy, Question
from sim_core.soak.ledger import Ledger


class Watched:
    """Obeys sim_core.policies.policy.Policy; decides as the policy does."""

    def __init__(self, policy: Policy, ledger: Ledger) -> None:
        self.entry = policy.entry
        self._policy = policy
        self._ledger = ledger
        self._version = policy.entry.version or 0

    async def decide(self, question: Question) -> Answer:
        clock = asyncio.get_running_loop()
        floor, began_s = self._ledger.floor(self._version), clock.time()
        answer = await self._policy.decide(question)
        self._ledger.note(self._version, floor, answer, began_s, clock.time())
        return answer
