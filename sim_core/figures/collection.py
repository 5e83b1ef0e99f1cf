"""Several replays read as one: the rows of all, with policies that have the same number everywhere.

What can be read is read, and what cannot is named in `problems`; figures are of the former.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sim_core.errors import BadReplay
from sim_core.replays.documents import Header, Latencies, MatchEntry, PolicyEntry
from sim_core.replays.histogram import added
from sim_core.replays.reader import Replay, find_replays, open_replay

KEY = ("replay", "match")
"""What names a match among several replays."""


@dataclass(frozen=True, slots=True)
class Side:
    """A team in a match."""

    replay: int
    match: int
    team: int
    policy: int
    other: int
    """The policy of the other team."""
    entry: MatchEntry


@dataclass(frozen=True, slots=True)
class Collection:
    """Replays of one game with the same rules; at least one."""

    replays: tuple[Replay, ...]
    policies: tuple[str, ...]
    """Of all replays. Rows and sides name them by their places here."""
    places: tuple[tuple[int, ...], ...]
    """For each replay, the places in `policies` of its header's policies."""
    problems: tuple[str, ...]
    """What was left out, and why: a line each."""

    @property
    def header(self) -> Header:
        """For what all of them have in common: game, rules, actions, events, teams, ground."""
        return self.replays[0].header

    def rows(self) -> pl.LazyFrame:
        """The replays' rows with the column `replay` in front, and `policy` as a place in `policies`."""
        frames = []
        for number, replay in enumerate(self.replays):
            mapped = pl.col("policy").replace_strict(
                dict(enumerate(self.places[number])), return_dtype=pl.Int32
            )
            frames.append(
                replay.scan().select(pl.lit(number, pl.Int32).alias("replay"), pl.exclude("policy"), mapped)
            )
        return pl.concat(frames)

    def sides(self) -> list[Side]:
        """Both teams of each match, in the order of replays and matches."""
        found = []
        for number, replay in enumerate(self.replays):
            place = self.places[number]
            for entry in replay.matches:
                first, second = (place[policy] for policy in entry.policies)
                found.append(Side(number, entry.match, 0, first, second, entry))
                found.append(Side(number, entry.match, 1, second, first, entry))
        return found

    def latencies(self) -> list[Latencies]:
        """Of each policy."""
        return [
            added(
                replay.latencies[local]
                for number, replay in enumerate(self.replays)
                for local, place in enumerate(self.places[number])
                if place == policy
            )
            for policy in range(len(self.policies))
        ]


def collect_replays(paths: Sequence[Path]) -> Collection:
    """All replays at or below the paths that can be read and have the rules of the first that can.

    Raises BadReplay when there is none; with several paths its message is of the first that failed.
    """
    replays: list[Replay] = []
    problems: list[str] = []
    for directory in _found(paths, problems):
        try:
            replay = open_replay(directory)
            _check(replay)
        except BadReplay as error:
            problems.append(str(error))
            continue
        if replays and (differs := rules_difference(replays[0].header, replay.header)) is not None:
            problems.append(f"{directory}: left out: has other rules than {replays[0].directory} ({differs})")
            continue
        replays.append(replay)
        problems += replay.problems
    if not replays:
        more = f" ({len(problems) - 1} more could not be read either)" if len(problems) > 1 else ""
        raise BadReplay(f"{problems[0]}{more}")
    labels = _labels([policy for replay in replays for policy in replay.header.policies])
    policies = tuple(dict.fromkeys(labels.values()))
    places = tuple(
        tuple(policies.index(labels[_identity(policy)]) for policy in replay.header.policies)
        for replay in replays
    )
    return Collection(tuple(replays), policies, places, tuple(problems))


def rules_difference(one: Header, other: Header) -> str | None:
    """What keeps two replays from being read together."""
    if one.game != other.game:
        return f"game {other.game}, not {one.game}"
    for key in sorted(one.rules.keys() | other.rules.keys()):
        if one.rules.get(key) != other.rules.get(key):
            return f"{key} {other.rules.get(key)}, not {one.rules.get(key)}"
    for what in ("actions", "events", "teams", "width", "height"):
        if getattr(one, what) != getattr(other, what):
            return what
    return None


def _found(paths: Sequence[Path], problems: list[str]) -> list[Path]:
    """Each directory once, however many of the paths lead to it."""
    found: dict[Path, Path] = {}
    for path in paths:
        try:
            for directory in find_replays([path]):
                found.setdefault(directory.resolve(), directory)
        except BadReplay as error:
            problems.append(str(error))
    return list(found.values())


def _check(replay: Replay) -> None:
    """Numbers of the sidecars by which others are looked up: a file that was edited is a BadReplay."""
    places = range(len(replay.header.policies))
    if not set(replay.header.teams) <= {0, 1} or min(replay.header.width, replay.header.height) < 1:
        raise BadReplay(f"{replay.directory}: replay.json: teams or ground cannot be")
    for key in ("health", "lives"):
        if not isinstance(most := replay.header.rules.get(key, 0), int) or not 0 <= most < 2**15:
            raise BadReplay(f"{replay.directory}: replay.json: rules.{key} is {most!r}, expected a number")
    for entry in replay.matches:
        if any(policy not in places for policy in entry.policies) or entry.winner not in (None, 0, 1):
            raise BadReplay(
                f"{replay.directory}: match {entry.match}: its policies or winner are none of the header's"
            )
    numbers = [entry.match for entry in replay.matches]
    if len(set(numbers)) < len(numbers):
        raise BadReplay(f"{replay.directory}: has a match twice")


def _identity(policy: PolicyEntry) -> tuple[str, str | None]:
    return policy.name, policy.content


def _labels(entries: Iterable[PolicyEntry]) -> dict[tuple[str, str | None], str]:
    """A policy's name; with the beginning of its fingerprint where other weights bear the same name."""
    contents: dict[str, dict[str | None, None]] = {}
    for entry in entries:
        contents.setdefault(entry.name, {})[entry.content] = None
    return {
        (name, content): name if len(known) == 1 else f"{name}#{(content or 'unknown')[:8]}"
        for name, known in contents.items()
        for content in known
    }
