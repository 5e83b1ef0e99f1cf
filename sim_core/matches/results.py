"""What came of matches, counted while they end."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sim_core.replays.documents import Latencies, MatchEntry
from sim_core.replays.histogram import added
from sim_core.replays.schema import Reason
from sim_core.replays.writer import MatchRecord


@dataclass(frozen=True, slots=True)
class Tally:
    """Of one policy: matches, and where their decisions came from."""

    won: int
    drawn: int
    lost: int
    decisions: int
    fallbacks: dict[Reason, int]
    latencies: Latencies


@dataclass(slots=True)
class Results:
    """Matches by their entries; the rows are the replay's business."""

    policies: Sequence[str]
    entries: list[MatchEntry] = field(default_factory=list)
    latencies: dict[int, Latencies] = field(default_factory=dict)

    def add(self, record: MatchRecord) -> None:
        self.entries.append(record.entry)
        for place, latencies in record.latencies.items():
            known = self.latencies.get(place, Latencies.none())
            self.latencies[place] = added([known, latencies])

    @property
    def ticks(self) -> int:
        return sum(entry.ticks for entry in self.entries)

    def tally(self, place: int) -> Tally:
        """A policy that plays against itself wins and loses each match that is decided."""
        sides = [(entry, side) for entry in self.entries for side in (0, 1) if entry.policies[side] == place]
        fallbacks: Counter[Reason] = Counter()
        for entry, side in sides:
            fallbacks.update(entry.fallbacks[side])
        return Tally(
            won=sum(entry.winner == side for entry, side in sides),
            drawn=sum(entry.winner is None for entry, _ in sides),
            lost=sum(entry.winner == 1 - side for entry, side in sides),
            decisions=sum(entry.decisions[side] for entry, side in sides),
            fallbacks=dict(sorted(fallbacks.items())),
            latencies=self.latencies.get(place, Latencies.none()),
        )


@dataclass(frozen=True, slots=True)
class Score:
    """Matches between two policies, as the first of them sees it."""

    first: int
    second: int
    won: int
    drawn: int
    lost: int

    @property
    def matches(self) -> int:
        return self.won + self.drawn + self.lost


def scores(entries: Iterable[MatchEntry]) -> list[Score]:
    """Of each pair that met, by their places."""
    counts: dict[tuple[int, int], list[int]] = {}
    for entry in entries:
        first, second = sorted(entry.policies)
        if first == second:
            continue
        row = counts.setdefault((first, second), [0, 0, 0])
        row[1 if entry.winner is None else 0 if entry.policies[entry.winner] == first else 2] += 1
    return [Score(*pair, *counts[pair]) for pair in sorted(counts)]
