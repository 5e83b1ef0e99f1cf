"""Files in a directory that hold what was written last, in at most so many bytes together."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from onnxd.telemetry.record_reader import SUFFIX
from onnxd.telemetry.records import MAGIC, Part

_SEGMENTS: Final = 8
"""What is forgotten at once is about this part of the whole."""


class TooLarge(ValueError):
    """A record that the ring is too small for."""


class SegmentRing:
    """Appends to one file until it is full, then to the next, and removes the oldest. For one thread.

    Several processes may share a directory: each writes files of its own.
    """

    def __init__(self, directory: Path, most_bytes: int) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        self._segment_bytes = max(most_bytes // _SEGMENTS, 1)
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._left = 0

    def append(self, parts: Sequence[Part]) -> None:
        """One record. Raises TooLarge, and OSError, after which the next is tried with a new file."""
        size = sum(map(len, parts))
        try:
            if self._file is None or size > self._left:
                self._next(size)
            assert self._file is not None  # noqa: S101 for the type
            self._left -= size
            self._file.writelines(parts)
        except OSError:
            self.close()
            raise

    def flush(self) -> None:
        """Hand what was appended to the system. Raises OSError."""
        if self._file is not None:
            try:
                self._file.flush()
            except OSError:
                self.close()
                raise

    def close(self) -> None:
        """Never raises: what cannot be written is lost."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _next(self, size: int) -> None:
        needed = max(self._segment_bytes, size + len(MAGIC))
        if needed > self._most_bytes:
            raise TooLarge(f"a record of {size} bytes, where all together may have {self._most_bytes}")
        self.close()
        self._make_room(needed)
        self._path = self._directory / f"{time.time_ns():020d}-{os.getpid()}{SUFFIX}"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=2**18)
        self._file.write(MAGIC)
        self._left = needed - len(MAGIC)

    def _make_room(self, needed: int) -> None:
        """Remove the oldest files until there is room for one more. Raises OSError."""
        files = sorted(self._directory.glob(f"*{SUFFIX}"))
        sizes = [_size(file) for file in files]
        excess = sum(sizes) + needed - self._most_bytes
        for file, size in zip(files, sizes, strict=True):
            if excess <= 0:
                return
            file.unlink(missing_ok=True)
            excess -= size


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
