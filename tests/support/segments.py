"""Shared memory objects as a client makes them: files of its own in /dev/shm, under names no one else has."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SHM: Final = Path("/dev/shm")  # noqa: S108 -- where it is on Linux


@dataclass(frozen=True, slots=True)
class Segment:
    """An object that a test owns. It holds nothing open: what is open of it is the server's."""

    path: Path

    @property
    def key(self) -> str:
        return f"/{self.path.name}"

    def read(self, size: int = -1, at: int = 0) -> bytes:
        content = self.path.read_bytes()[at:]
        return content if size < 0 else content[:size]

    def write(self, content: bytes, at: int = 0) -> None:
        with self.path.open("r+b") as file:
            file.seek(at)
            file.write(content)

    def resize(self, size: int) -> None:
        os.truncate(self.path, size)

    @property
    def opened(self) -> int:
        """How many files of this process are this object."""
        return sum(target.startswith(str(self.path)) for target in _open_files())

    @property
    def mapped(self) -> bool:
        """Whether this process has it in its address space."""
        return self.path.name in Path("/proc/self/maps").read_text()


@contextmanager
def segment(size: int, content: bytes = b"") -> Iterator[Segment]:
    """An object of this size, zeros behind `content`. It is gone afterwards."""
    with a_name() as path:
        path.write_bytes(content)
        os.truncate(path, size)
        yield Segment(path)


@contextmanager
def a_name() -> Iterator[Path]:
    """A path in /dev/shm for whatever the test makes of it."""
    path = SHM / f"test_{secrets.token_hex(8)}"
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def open_segments() -> int:
    """How many files of this process are objects in /dev/shm."""
    return sum(target.startswith(f"{SHM}/test_") for target in _open_files())


def _open_files() -> Iterator[str]:
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            yield os.readlink(f"/proc/self/fd/{name}")
