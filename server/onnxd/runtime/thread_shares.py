"""One budget of threads for all sessions, and how large each session's pool is.

A pool cannot change once its session is built, so a size is settled at a load, from what is loaded or about
to be by then; sessions that run keep theirs. Idle pools sleep (spinning is off) and cost nothing but their
stacks, which is why by default they are lent rather than dealt out: a model that is busy while the others
are idle then has all CPUs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from annotated_types import Ge, Le

Sharing = Literal["lend", "split"]


@dataclass(frozen=True, slots=True)
class ThreadConfig:
    """The threads that models compute with, all of them together."""

    budget: Annotated[int, Ge(0), Le(1024)] = 0
    """CPUs to compute with; 0 = those that the process may use, by affinity and by its container's quota."""
    sharing: Sharing = "lend"
    """lend: each model may use the whole budget while others are idle; split: the pools of all models
    together are never larger than the budget (a model with one thread has no pool)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What the sessions of one version ask for."""

    weight: int = 1
    stated: int = 0
    """Threads of each session by its config; 0 = it leaves that open."""
    sessions: int = 1
    beside: int = 0
    """Threads of each session's second pool (inter_op_threads), which only its config can ask for."""

    def threads(self, share: int) -> int:
        """Of all its sessions, when each has so many within one operator."""
        return (share + self.beside) * self.sessions


def lend(claims: Sequence[Claim], budget: int) -> list[int]:
    """Threads of each session of each claim: the budget for the heaviest, in proportion less for others.

    While all are busy, each has threads at work in proportion to its weight, and so has its time on the CPUs.
    """
    heaviest = max((claim.weight for claim in claims), default=1)
    return [claim.stated or max(1, round(budget * claim.weight / heaviest)) for claim in claims]


def split(claims: Sequence[Claim], budget: int) -> list[int]:
    """Threads of each session of each claim: what is stated, and the rest of the budget in proportion.

    Never more in sum than the budget, unless what is stated and one thread for each other session already is.
    """
    shares = [claim.stated or 1 for claim in claims]
    left = budget - sum(share * claim.sessions for share, claim in zip(shares, claims, strict=True))
    # One more, over and over, for whoever has the least for its weight; the first of equals.
    open_claims = [index for index, claim in enumerate(claims) if not claim.stated]
    while fitting := [index for index in open_claims if claims[index].sessions <= left]:
        neediest = min(fitting, key=lambda index: ((shares[index] + 1) / claims[index].weight, index))
        shares[neediest] += 1
        left -= claims[neediest].sessions
    return shares


_RULES: Final = {"lend": lend, "split": split}


@dataclass(frozen=True, slots=True)
class _Held:
    """The pools of one version."""

    model: str
    version: int
    claim: Claim
    share: int

    @property
    def threads(self) -> int:
        return self.claim.threads(self.share)


class ThreadBudget:
    """What is loaded, or about to be, and how many threads each has. Belongs to the loop's thread."""

    def __init__(self, budget: int, sharing: Sharing = "lend") -> None:
        self.budget: Final = budget
        self.sharing: Final = sharing
        self._held: dict[object, _Held] = {}
        self._expected: frozenset[str] = frozenset()
        self._wanted: dict[str, frozenset[int]] = {}

    def expect(self, models: frozenset[str]) -> None:
        """These are about to be loaded: until they are, each counts as one session of weight 1, so that the
        first of many to be loaded is not taken for the only one."""
        self._expected = models
        self._wanted = {model: versions for model, versions in self._wanted.items() if model in models}

    def want(self, model: str, versions: Iterable[int]) -> None:
        """These versions of a model that is expected shall serve, and no others: what is left of those counts
        no more, though it serves until these do."""
        self._wanted[model] = frozenset(versions)

    @contextmanager
    def claim(self, model: str, claim: Claim, version: int = 1) -> Iterator[int]:
        """Threads for each session of a version of a model, until the context is left. What has the same
        number serves no longer than until this does."""
        wanted = self._wanted.get(model, frozenset((version,))) | {version}
        staying = [
            held
            for held in self._held.values()
            if held.model != model or (held.version in wanted and held.version != version)
        ]
        of_model = {held.version for held in staying if held.model == model}
        coming = len(self._expected - {held.model for held in staying} - {model})
        coming += len(wanted - of_model - {version})
        others = [*(held.claim for held in staying), *[Claim()] * coming]
        share = _RULES[self.sharing]([claim, *others], self.budget)[0]
        if self.sharing == "split":
            left = self.budget - sum(held.threads for held in staying)
            share = min(share, split([claim, *[Claim()] * coming], left)[0])
        key = object()
        self._held[key] = _Held(model, version, claim, share)
        try:
            yield share
        finally:
            del self._held[key]

    @property
    def shares(self) -> Mapping[str, int]:
        """Threads of each loaded model, its versions and sessions together, by name."""
        shares: dict[str, int] = {}
        for held in self._held.values():
            shares[held.model] = shares.get(held.model, 0) + held.threads
        return dict(sorted(shares.items()))

    def __str__(self) -> str:
        """2 for models, lent: digits 2, mlp 2; 4 together"""
        how = "lent" if self.sharing == "lend" else "split"
        by_whom = ", ".join(f"{model} {threads}" for model, threads in self.shares.items())
        together = sum(self.shares.values())
        excess = f"; {together} together" if together > self.budget else ""
        return f"{self.budget} for models, {how}: {by_whom or 'none is loaded'}{excess}"

    def excess(self) -> str:
        """What to tell the operator when configs state more threads than there are CPUs; else nothing."""
        stated: dict[str, int] = {}
        for held in self._held.values():
            if held.claim.stated or held.claim.beside:
                threads = held.claim.threads(held.claim.stated or 1)
                stated[held.model] = stated.get(held.model, 0) + threads
        total = sum(stated.values())
        if total <= self.budget:
            return ""
        by_whom = ", ".join(f"{model} {threads}" for model, threads in sorted(stated.items()))
        return (
            f"configs state {total} threads ({by_whom}) and the budget is {self.budget}: busy at once, they "
            "are in each other's way; lower session.intra_op_threads or instances, or leave it to the server"
        )
