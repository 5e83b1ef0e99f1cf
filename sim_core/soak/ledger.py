"""What a soak knows of its models: which weights may answer, which fallbacks are allowed, and what came.

Pure: times are given. A decision is allowed not to be answered only while its version was taken away, and an
answer may only be of weights that were published for its version and not yet known to be replaced.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sim_core.arrays import BoolArray
from sim_core.policies.policy import NO_REASON, REASONS, Answer
from sim_core.replays.schema import Reason

GONE: Final = frozenset({Reason.UNAVAILABLE, Reason.NOT_FOUND})
"""How a version that was taken away may be answered for."""


@dataclass(slots=True)
class Window:
    """A time in which a version may be missing."""

    version: int
    opened_s: float
    closed_s: float | None = None
    """None = it is open."""
    missed: int = 0
    """Decisions that were not answered, so far."""


@dataclass(slots=True)
class Ledger:
    """Of one model's versions."""

    model: str
    published: dict[int, list[int]] = field(default_factory=dict)
    """The fingerprints of each version, the latest last."""
    confirmed: dict[int, int] = field(default_factory=dict)
    """The place in `published` of the oldest that may still answer."""
    windows: list[Window] = field(default_factory=list)
    answers: Counter[tuple[int, int]] = field(default_factory=Counter)
    """By version and fingerprint."""
    allowed: Counter[Reason] = field(default_factory=Counter)
    """Fallbacks, inside of windows."""
    failures: Counter[str] = field(default_factory=Counter)

    def publish(self, version: int, fingerprint: int) -> None:
        """Before its file is there: from now on it may answer."""
        self.published.setdefault(version, []).append(fingerprint)

    def confirm(self, version: int, fingerprint: int) -> None:
        """It serves: what was before it may answer no request that is sent from now on."""
        self.confirmed[version] = self.published[version].index(fingerprint)

    def floor(self, version: int) -> int:
        """To be taken before a question, and given to `note` with its answer."""
        return self.confirmed.get(version, 0)

    def open(self, version: int, now_s: float) -> Window:
        window = Window(version, now_s)
        self.windows.append(window)
        return window

    def note(self, version: int, floor: int, answer: Answer, began_s: float, ended_s: float) -> None:
        """An answer to a question about this version, asked and answered at these times."""
        reasons = Counter(answer.reasons[answer.fallback].tolist())
        for place, count in reasons.items():
            self._note_fallback(version, REASONS[place], count, began_s, ended_s)
        answered: BoolArray = answer.reasons == NO_REASON
        pairs = zip(answer.version[answered].tolist(), answer.weights[answered].tolist(), strict=True)
        for (came, weights), count in Counter(pairs).items():
            self._note_answer(version, floor, came, weights, count)

    def _note_fallback(
        self, version: int, reason: Reason, count: int, began_s: float, ended_s: float
    ) -> None:
        for window in self.windows:
            overlaps = window.opened_s <= ended_s and (window.closed_s is None or window.closed_s >= began_s)
            if window.version == version and overlaps and reason in GONE:
                window.missed += count
                self.allowed[reason] += count
                return
        self.failures[f"{self.model} version {version}: not answered ({reason.value}) while it served"] += (
            count
        )

    def _note_answer(self, version: int, floor: int, came: int, weights: int, count: int) -> None:
        self.answers[came, weights] += count
        known = self.published.get(version, [])
        if came != version:
            self.failures[f"{self.model} version {version}: version {came} answered"] += count
        elif weights not in known:
            self.failures[f"{self.model} version {version}: weights answered that it never had"] += count
        elif known.index(weights) < floor:
            self.failures[f"{self.model} version {version}: weights answered that were replaced before"] += (
                count
            )


def disagreements(ledger: Ledger, counted: Mapping[tuple[int, int], int], *, where: str) -> list[str]:
    """Between the answers that came and others' count of them, by version and fingerprint; only keys of
    `counted` are compared."""
    return [
        f"{ledger.model} version {version}: {ledger.answers[version, weights]} answers of "
        f"{weights % 2**64:016x} came, {count} are {where}"
        for (version, weights), count in sorted(counted.items())
        if ledger.answers[version, weights] != count
    ]  # fmt: skip
