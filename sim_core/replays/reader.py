"""Reads replays: what is whole is given, and what is not is named."""

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sim_core.errors import BadReplay
from sim_core.replays.documents import Header, Latencies, MatchEntry, Part, read_document
from sim_core.replays.histogram import added
from sim_core.replays.schema import HEADER_FILE, LATENCY_BOUNDS_MS, PART_PATTERN, SCHEMA


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay, as much of it as can be read."""

    directory: Path
    header: Header
    files: tuple[Path, ...]
    """The Parquet files that are whole; at least one."""
    matches: tuple[MatchEntry, ...]
    """Those of the files, in their order."""
    latencies: tuple[Latencies, ...]
    """One for each of the header's policies."""
    problems: tuple[str, ...]
    """What was left out, and why: a line each."""

    def scan(self) -> pl.LazyFrame:
        """The rows, by match, tick and agent, read when they are collected."""
        return pl.scan_parquet(list(self.files))

    def policy_of(self, entry: MatchEntry, team: int) -> str:
        """The name of a team's policy in a match."""
        return self.header.policies[entry.policies[team]].name


def find_replays(paths: Iterable[Path]) -> list[Path]:
    """The directories of replays at or below these paths, in their order.

    Raises BadReplay for a path that is not there, and for one that holds none.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise BadReplay(f"{path}: there is no such directory")
        if not path.is_dir():
            raise BadReplay(f"{path}: is a file; a replay is a directory with a {HEADER_FILE}")
        here = sorted(header.parent for header in path.rglob(HEADER_FILE))
        if not here:
            raise BadReplay(f"{path}: holds no replay: there is no {HEADER_FILE} in it or below")
        found.update(dict.fromkeys(here))
    return list(found)


def open_replay(directory: Path) -> Replay:
    """Raises BadReplay when nothing of it can be read: no header, another schema, no whole part."""
    if not directory.is_dir():
        raise BadReplay(f"{directory}: there is no such directory")
    if not (directory / HEADER_FILE).exists():
        raise BadReplay(f"{directory}: holds no replay: there is no {HEADER_FILE}")
    header = read_document(directory / HEADER_FILE, Header)
    files, problems, parts = [], [], []
    for file in sorted(directory.glob(PART_PATTERN)):
        try:
            parts.append(_read_part(file, header))
        except BadReplay as error:
            problems.append(str(error))
        else:
            files.append(file)
    if not files:
        reason = problems[0] if problems else f"{directory}: no part was finished"
        raise BadReplay(f"{reason}; nothing of the replay can be read")
    matches = tuple(entry for part in parts for entry in part.matches)
    if len(matches) < header.matches:
        problems.append(f"{directory}: {len(matches)} of {header.matches} matches are there")
    latencies = tuple(added(part.latencies[place] for part in parts) for place in range(len(header.policies)))
    return Replay(directory, header, tuple(files), matches, latencies, tuple(problems))


def open_replays(paths: Sequence[Path]) -> list[Replay]:
    """Those at or below the paths, which must be of one game with the same rules.

    Raises BadReplay; for one that cannot be read too, so that no figure quietly misses it.
    """
    replays = [open_replay(path) for path in find_replays(paths)]
    first = replays[0]
    for other in replays[1:]:
        if (differs := _difference(first.header, other.header)) is not None:
            raise BadReplay(
                f"{other.directory}: has other rules than {first.directory} ({differs}): "
                "replays are read together only if their rules are the same"
            )
    return replays


def _difference(one: Header, other: Header) -> str | None:
    if one.game != other.game:
        return f"game {other.game}, not {one.game}"
    for key in sorted(one.rules.keys() | other.rules.keys()):
        if one.rules.get(key) != other.rules.get(key):
            return f"{key} {other.rules.get(key)}, not {one.rules.get(key)}"
    return "actions or events" if (one.actions, one.events) != (other.actions, other.events) else None


def _read_part(file: Path, header: Header) -> Part:
    part = read_document(file.with_suffix(".json"), Part)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadReplay(f"{file}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise BadReplay(f"{file}: is cut off or was changed: its SHA-256 is not that of {file.stem}.json")
    try:
        found = pq.read_schema(io.BytesIO(content))
    except pa.ArrowException as error:
        raise BadReplay(f"{file}: is not Parquet: {error}") from error
    if not found.equals(SCHEMA):
        raise BadReplay(f"{file}: does not have the columns of the schema")
    if len(part.latencies) != len(header.policies):
        raise BadReplay(f"{file.with_suffix('.json')}: has latencies of {len(part.latencies)} policies")
    if any(len(each.counts) != len(LATENCY_BOUNDS_MS) + 1 for each in part.latencies):
        raise BadReplay(f"{file.with_suffix('.json')}: has latencies of other buckets")
    return part
