"""The files under one directory, as stamps that change whenever a file does."""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path
from typing import Final, NamedTuple

MAX_FILES: Final = 10_000
MAX_DEPTH: Final = 32
"""Bounds on one tree, so that a directory linked by mistake is a message and not a scan without end."""

_IGNORED: Final = (
    ".*",
    "*~",
    "#*#",
    "*.sw?",
    "*.tmp",
    "*.part",
    "*.partial",
    "lost+found",
    "__pycache__",
)
"""Dot-files take in `.nfs*` and the `..data` of a Kubernetes volume: other links lead to its content."""

_IGNORED_NAME: Final = re.compile("|".join(translate(pattern) for pattern in _IGNORED))
_VIM_PROBE: Final = "4913"
"""vim tries out a directory with a file of this name; a directory of it is a version like any other."""

_GONE: Final = (errno.ENOENT, errno.ENOTDIR)


class FileStamp(NamedTuple):
    """One regular file, links followed. Equal stamps mean equal bytes; unequal ones, that they may differ.

    The change time is part of it because a rewrite that restores size and modification time (`cp -p`,
    `rsync -a`, tar) shows nowhere else.
    """

    path: str
    """Relative to the top of its tree, `/` between the parts."""
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: str, status: os.stat_result) -> "FileStamp":
        return cls(path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


Fingerprint = tuple[FileStamp, ...]
"""The stamps of a tree, sorted by path."""


class Directory(NamedTuple):
    """A directory that a change can happen in: its resolved path, and which directory that was."""

    path: str
    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Tree:
    """What `read_tree` saw."""

    stamps: Fingerprint
    directories: frozenset[Directory]
    """Every directory that was read, and those that hold the targets of linked files."""
    subdirectories: tuple[str, ...]
    """Names of the directories directly under the top, ignored names left out."""
    problems: tuple[str, ...]
    """Entries that can be no part of a model: devices, pipes, sockets, links to nothing, too many files."""
    newest_ns: int
    """The latest change time of anything in it, by the wall clock of the file system."""
    strays: tuple[str, ...] = ()
    """Links that lead out of where they may."""


def ignored(name: str) -> bool:
    """Whether a name is what editors, copiers and file systems leave behind, never part of a model."""
    return _IGNORED_NAME.match(name) is not None


def read_tree(top: Path, *, deep: bool = True, within: Iterable[Path] = ()) -> Tree:
    """Stamp every regular file under `top`; with `deep` false only those directly in it. Blocking.

    Links are followed, files are never opened. A link may lead to anything in the directory that `top` leads
    to, and in those `within`; the others are strays, and a directory behind one is not read. What vanishes
    while it is read is left out: the next scan sees a difference. Raises OSError if the top is gone, or if
    anything cannot be read, in which case nobody knows what is there and nothing may be concluded from it.
    """
    homes = tuple(os.path.realpath(home) for home in (top, *within))
    walk = _Walk(deep=deep, homes=homes)
    walk.directory(os.fspath(top), "", ())
    return Tree(
        stamps=tuple(sorted(walk.stamps)),
        directories=frozenset(walk.directories),
        subdirectories=tuple(sorted(walk.subdirectories)),
        problems=tuple(walk.problems),
        newest_ns=walk.newest_ns,
        strays=tuple(walk.strays),
    )


def status_or_none(status: Callable[[], os.stat_result]) -> os.stat_result | None:
    """The status, or None where there is nothing: vanished, or a link to nothing or to itself.

    Raises OSError for everything else (ESTALE, EIO, EACCES): unknown is not the same as gone.
    """
    try:
        return status()
    except OSError as error:
        if error.errno in (*_GONE, errno.ELOOP):
            return None
        raise


@dataclass(slots=True)
class _Walk:
    deep: bool
    homes: tuple[str, ...]
    strays: list[str] = field(default_factory=list)
    stamps: list[FileStamp] = field(default_factory=list)
    directories: set[Directory] = field(default_factory=set)
    subdirectories: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    newest_ns: int = 0
    full: bool = False

    def directory(self, path: str, prefix: str, above: tuple[tuple[int, int], ...]) -> None:
        status = os.stat(path)
        identity = (status.st_dev, status.st_ino)
        if identity in above or len(above) > MAX_DEPTH:
            self.problems.append(f"{prefix[:-1]!r} links back to a directory above it, or lies too deep")
            return
        with os.scandir(path) as entries:
            listing = sorted(entries, key=lambda entry: entry.name)
        self.directories.add(Directory(os.path.realpath(path), *identity))
        self.newest_ns = max(self.newest_ns, status.st_ctime_ns)
        for entry in listing:
            if self.full:
                return
            if not ignored(entry.name):
                self._entry(entry, prefix + entry.name, (*above, identity))

    def _entry(self, entry: os.DirEntry[str], relative: str, above: tuple[tuple[int, int], ...]) -> None:
        status = status_or_none(entry.stat)
        if status is None:
            if entry.is_symlink():
                self.problems.append(f"{relative!r} is a link to nothing")
        elif stat.S_ISDIR(status.st_mode):
            self._subdirectory(entry, relative, above)
        elif stat.S_ISREG(status.st_mode):
            self._file(entry, relative, status)
        else:
            self.problems.append(f"{relative!r} is not a regular file (a pipe, a socket or a device)")

    def _subdirectory(
        self, entry: os.DirEntry[str], relative: str, above: tuple[tuple[int, int], ...]
    ) -> None:
        if len(above) == 1:
            self.subdirectories.append(entry.name)
        if not self.deep or self._strays(entry, relative):
            return
        try:
            self.directory(entry.path, relative + "/", above)
        except OSError as error:
            if error.errno not in _GONE:
                raise

    def _file(self, entry: os.DirEntry[str], relative: str, status: os.stat_result) -> None:
        if entry.name == _VIM_PROBE:
            return
        if len(self.stamps) == MAX_FILES:
            self.problems.append(f"there are more than {MAX_FILES} files")
            self.full = True
            return
        self.stamps.append(FileStamp.of(relative, status))
        self.newest_ns = max(self.newest_ns, status.st_ctime_ns)
        if entry.is_symlink():
            self._strays(entry, relative)
            home = os.path.dirname(os.path.realpath(entry.path))
            if (at := status_or_none(lambda: os.stat(home))) is not None:
                self.directories.add(Directory(home, at.st_dev, at.st_ino))

    def _strays(self, entry: os.DirEntry[str], relative: str) -> bool:
        """Whether it is a link out of every home, by whole parts of the path: /models-2 is not in /models."""
        if not entry.is_symlink():
            return False
        target = os.path.realpath(entry.path)
        if any(os.path.commonpath((home, target)) == home for home in self.homes):
            return False
        self.strays.append(relative)
        return True
