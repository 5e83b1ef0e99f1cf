"""The JSON beside the Parquet files: a header for the replay, and a sidecar for each part.

Read strictly: a key that is missing, unknown or of another type is a BadReplay that names file and key.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Ge, MinLen
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from sim_core.errors import BadReplay
from sim_core.replays.schema import LATENCY_BOUNDS_MS, SCHEMA_VERSION, Reason

_STRICT = ConfigDict(extra="forbid")
DocumentT = TypeVar("DocumentT")


@dataclass(frozen=True, config=_STRICT)
class PolicyEntry:
    """A policy of the replay; the rows name it by its place in the header's list."""

    name: str
    """As it was asked for: `scripted`, `arena_policy:2`."""
    kind: Literal["random", "scripted", "served"]
    model: str | None = None
    version: int | None = None
    """That was asked for; None = the server chose."""
    content: str | None = None
    """The fingerprint of the weights, 16 hex digits, in the answer that the model gave before the matches
    began; None = its answers hold none."""


@dataclass(frozen=True, config=_STRICT)
class ServerEntry:
    """The server that the served policies were asked from."""

    url: str
    name: str
    version: str


@dataclass(frozen=True, config=_STRICT)
class Header:
    """Of a whole replay: what the rows' numbers mean. `replay.json`."""

    game: str
    rules: dict[str, Any]
    """Two replays can be compared if game and rules are equal."""
    actions: list[str]
    events: list[str]
    teams: Annotated[list[int], MinLen(1)]
    """The team of each agent."""
    width: int
    height: int
    seed: int
    matches: Annotated[int, Ge(1)]
    """As many as were asked for, whether or not they are there."""
    policies: Annotated[list[PolicyEntry], MinLen(1)]
    server: ServerEntry | None
    started: str
    """ISO 8601, in UTC."""
    complete: bool = False
    """Whether all matches were played and written."""
    schema: int = SCHEMA_VERSION


@dataclass(frozen=True, config=_STRICT)
class MatchEntry:
    """One match; its rows are in the part's Parquet file."""

    match: int
    policies: tuple[int, int]
    """Of team 0 and of team 1, as places in the header's list."""
    winner: int | None
    """The team; None = a draw."""
    ticks: int
    decisions: tuple[int, int]
    """How many each team took."""
    fallbacks: tuple[dict[Reason, int], dict[Reason, int]]
    """How many of them were fallbacks, by reason."""
    board: list[str]
    """The ground, '#' = an obstacle."""


@dataclass(frozen=True, config=_STRICT)
class Latencies:
    """Of one policy's decisions, from asking to knowing: a histogram over LATENCY_BOUNDS_MS."""

    counts: list[int]
    """One for each bound, and one for what is above them all."""
    total_ms: float = 0.0
    most_ms: float = 0.0

    @staticmethod
    def none() -> "Latencies":
        return Latencies([0] * (len(LATENCY_BOUNDS_MS) + 1))


@dataclass(frozen=True, config=_STRICT)
class Part:
    """Of one Parquet file: `part-00000.json` beside `part-00000.parquet`."""

    matches: Annotated[list[MatchEntry], MinLen(1)]
    rows: int
    sha256: str
    """Of the Parquet file."""
    latencies: list[Latencies]
    """One for each of the header's policies."""
    schema: int = SCHEMA_VERSION


def read_document(path: Path, kind: type[DocumentT]) -> DocumentT:
    """Raises BadReplay, also for another schema version."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise BadReplay(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadReplay(f"{path}: is not JSON, or is cut off: {error}") from error
    version = document.get("schema") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise BadReplay(
            f"{path}: is of schema version {version!r}; this release reads {SCHEMA_VERSION}: "
            "use the release that wrote it, or play the matches again with their seed"
        )
    try:
        return TypeAdapter(kind).validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise BadReplay(f"{path}: {place or 'document'}: {first['msg']}") from error


def write_document(path: Path, document: object) -> None:
    """Whole or not at all."""
    text = TypeAdapter(type(document)).dump_json(document, indent=1)
    write_whole(path, text + b"\n")


def write_whole(path: Path, content: bytes) -> None:
    """Under another name first, and on the disk before it is renamed."""
    draft = path.with_name(f".{path.name}.tmp")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
