"""Writes a replay: matches come in any order, and leave in theirs, a part at a time."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim_core.arrays import AnyArray
from sim_core.errors import BadReplay
from sim_core.replays.documents import (
    Header,
    Latencies,
    MatchEntry,
    Part,
    write_document,
    write_whole,
)
from sim_core.replays.histogram import added
from sim_core.replays.schema import HEADER_FILE, SCHEMA

PART_MATCHES: Final = 50
"""Matches of a part: what a crash can cost at most, besides those being played."""


@dataclass(frozen=True, slots=True)
class MatchRecord:
    """A match that was played: its entry, its rows, and how long each policy's decisions took."""

    entry: MatchEntry
    columns: Mapping[str, AnyArray]
    """Those of SCHEMA, equally long, by tick and then by agent; -1 stands for null."""
    latencies: Mapping[int, Latencies]


class ReplayWriter:
    """A new directory for each replay. What is renamed into place there stays readable whatever comes after.

    The Parquet files depend on the matches alone: not on their order, nor on how many were played at once.
    """

    def __init__(self, directory: Path, header: Header, *, part_matches: int = PART_MATCHES) -> None:
        self.directory = directory
        self._header = header
        self._part_matches = part_matches
        self._waiting: dict[int, dict[int, MatchRecord]] = {}
        self._written = 0

    def __enter__(self) -> Self:
        """Raises BadReplay where there is one already, or the directory cannot be made."""
        if (self.directory / HEADER_FILE).exists():
            raise BadReplay(f"{self.directory}: holds a replay already: name a directory that does not exist")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_document(self.directory / HEADER_FILE, replace(self._header, complete=False))
        except OSError as error:
            raise BadReplay(f"{self.directory}: cannot be written: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Writes what is there of parts that are not full, also after an error."""
        for part in sorted(self._waiting):
            self._write(part)
        if kind is None and self._written == self._header.matches:
            write_document(self.directory / HEADER_FILE, replace(self._header, complete=True))

    def add(self, record: MatchRecord) -> None:
        """A part is written when the last of its matches has come."""
        part = record.entry.match // self._part_matches
        matches = self._waiting.setdefault(part, {})
        matches[record.entry.match] = record
        first = part * self._part_matches
        if len(matches) == min(self._part_matches, self._header.matches - first):
            self._write(part)

    def _write(self, part: int) -> None:
        matches = self._waiting.pop(part)
        records = [matches[match] for match in sorted(matches)]
        content = encode_rows(records)
        name = f"part-{part:05d}"
        latencies = [
            added([each.latencies[place] for each in records if place in each.latencies])
            for place in range(len(self._header.policies))
        ]
        sidecar = Part(
            [each.entry for each in records],
            sum(len(each.columns["tick"]) for each in records),
            hashlib.sha256(content).hexdigest(),
            latencies,
        )
        # The rows last: a part is there when its rows are.
        write_document(self.directory / f"{name}.json", sidecar)
        write_whole(self.directory / f"{name}.parquet", content)
        self._written += len(records)


def encode_rows(records: Sequence[MatchRecord]) -> bytes:
    """The Parquet file of these matches: the same rows give the same bytes."""
    arrays = []
    for field in SCHEMA:
        values = np.concatenate([each.columns[field.name] for each in records])
        missing = values == -1 if field.nullable else None
        arrays.append(pa.array(values, mask=missing).cast(field.type))
    table = pa.Table.from_arrays(arrays, schema=SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=max(table.num_rows, 1))
    return bytes(sink.getvalue())
