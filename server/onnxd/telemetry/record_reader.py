"""Reads what the recorder has written: a file, or a directory of them, also while it is being written.

A file may end within a record, where a server was killed or is writing: it holds what is before that.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from onnxd.telemetry.records import MAGIC, MOST_HEAD_BYTES, PREFIX, BadRecord, Record, decode, decode_head

SUFFIX: Final = ".onnxdrec"


class RecordingUnusable(Exception):
    """There is no recording, or it cannot be read. For the user, with its mend."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a record lies, and of what it is."""

    arrived_ns: int
    model: str
    version: int
    path: Path
    offset: int
    byte_size: int

    def read(self) -> Record:
        """The whole of it. Raises BadRecord, also when the file has gone since."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                prefix = file.read(PREFIX.size)
                return decode(prefix, memoryview(file.read(self.byte_size - PREFIX.size)))
        except OSError as error:
            raise BadRecord(f"{self.path} can no longer be read: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Recording:
    """What there is, in the order of arrival; nothing but heads is in memory."""

    entries: tuple[Entry, ...]
    cut: tuple[Path, ...]
    """Files whose end is not a whole record."""


def open_recording(path: Path) -> Recording:
    """Raises RecordingUnusable."""
    try:
        files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not files:
            raise RecordingUnusable(
                f"{path} has no recordings (*{SUFFIX}); the server writes them with the setting "
                "recorder.share above 0"
            )
        entries: list[Entry] = []
        cut = []
        for file in files:
            found, whole = _entries(file)
            entries += found
            if not whole:
                cut.append(file)
    except OSError as error:
        raise RecordingUnusable(f"{path} cannot be read: {error.strerror}") from error
    entries.sort(key=lambda entry: entry.arrived_ns)
    return Recording(tuple(entries), tuple(cut))


def _entries(path: Path) -> tuple[list[Entry], bool]:
    """Those of a file, and whether it ends with the last of them."""
    found: list[Entry] = []
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            magic = file.read(len(MAGIC))
            if magic == MAGIC:
                return found, _read_entries(path, file, size, found)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise
        return found, True  # the ring has moved on since the directory was listed
    if MAGIC.startswith(magic):
        return found, False
    raise RecordingUnusable(f"{path} is not a recording of onnxd, or one of a newer form")


def _read_entries(path: Path, file: BinaryIO, size: int, found: list[Entry]) -> bool:
    """Appends to `found`; whether the file ends with the last of them."""
    at = len(MAGIC)
    while at < size:
        prefix = file.read(PREFIX.size)
        if len(prefix) < PREFIX.size:
            return False
        head_size, payload_size, _ = PREFIX.unpack(prefix)
        end = at + PREFIX.size + head_size + payload_size
        if head_size > MOST_HEAD_BYTES or end > size:
            return False
        try:
            head = decode_head(file.read(head_size))
            arrived_ns, model, version = int(head["arrived_ns"]), str(head["model"]), int(head["version"])
        except (KeyError, TypeError, ValueError):
            return False
        found.append(Entry(arrived_ns, model, version, path, at, end - at))
        file.seek(end)
        at = end
    return True
