"""Copying files exactly as a scan saw them, and hashing them on the way."""

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from onnxd.repository.tree import FileStamp, Fingerprint

_CHUNK_BYTES: Final = 2**20
_FICLONE: Final = 0x40049409
"""ioctl that shares a file's blocks with another until either is written; in fcntl from Python 3.12 on."""


class CopyRefused(OSError):
    """The disk that is copied to said no."""


class Moved(Exception):
    """A source file is not the one that the scan saw."""


def copy_files(
    source: Path, target: Path, expected: Fingerprint, each: MutableMapping[str, str] | None = None
) -> str:
    """Copy the files that are expected, as they are expected, and return the digest of the copy.

    `each`, if given, receives the SHA-256 of every file by its path. Raises CopyRefused, Moved, OSError.
    """
    digest = hashlib.sha256()
    for stamp in expected:
        digest.update(head(stamp.path, stamp.size))
        copy = target / stamp.path
        try:
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CopyRefused(error.errno, error.strerror) from error
        if each is None:
            _copy_file(source / stamp.path, copy, stamp, digest.update)
        else:
            own = hashlib.sha256()
            _copy_file(source / stamp.path, copy, stamp, _both(digest.update, own.update))
            each[stamp.path] = own.hexdigest()
    return digest.hexdigest()


def digest_of_copy(directory: Path) -> str:
    """The digest of a copy as it lies on disk now. Raises OSError."""
    digest = hashlib.sha256()
    paths = (path for path in directory.rglob("*") if not path.is_dir())
    for name, path in sorted((path.relative_to(directory).as_posix(), path) for path in paths):
        digest.update(head(name, path.stat().st_size))
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def hash_file(path: Path, stamp: FileStamp) -> str:
    """The SHA-256 of the file that the scan saw. Raises Moved, OSError."""
    digest = hashlib.sha256()
    with _opened(path, stamp) as reader:
        while chunk := os.read(reader, _CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_file(path: Path, stamp: FileStamp, limit: int) -> bytes:
    """The content of the file that the scan saw, or its first `limit` bytes. Raises Moved, OSError."""
    content = b""
    with _opened(path, stamp) as reader:
        while len(content) < limit and (chunk := os.read(reader, limit - len(content))):
            content += chunk
    return content


def head(path: str, size: int) -> bytes:
    """What a file adds to a digest before its content: with the lengths first, no two sets of files give the
    same stream of bytes."""
    name = os.fsencode(path)
    return len(name).to_bytes(8) + name + size.to_bytes(8)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[int]:
    """A file that was not there, for `write`. Raises CopyRefused."""
    try:
        writer = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o400)
    except OSError as error:
        raise CopyRefused(error.errno, error.strerror) from error
    try:
        yield writer
    finally:
        os.close(writer)


def write(writer: int, chunk: bytes) -> None:
    """All of it. Raises CopyRefused."""
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[os.write(writer, rest) :]
    except OSError as error:
        raise CopyRefused(error.errno, error.strerror) from error


def _copy_file(source: Path, copy: Path, stamp: FileStamp, update: Callable[[bytes], object]) -> None:
    with ExitStack() as resources:
        reader = resources.enter_context(_opened(source, stamp))
        writer = resources.enter_context(new_file(copy))
        cloned = _clone(reader, writer)
        left = stamp.size
        while left and (chunk := os.read(writer if cloned else reader, min(left, _CHUNK_BYTES))):
            update(chunk)
            left -= len(chunk)
            if not cloned:
                write(writer, chunk)
        if left or os.fstat(writer).st_size != stamp.size:
            raise Moved(f"{stamp.path!r} has another size")


@contextlib.contextmanager
def _opened(path: Path, stamp: FileStamp) -> Iterator[int]:
    """The file that the scan saw, and still the same when the body has ended. Raises Moved, OSError."""
    # O_NONBLOCK: a pipe put in the file's place must not hold the thread for ever.
    try:
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise Moved(f"{stamp.path!r} is gone") from error
        raise
    try:
        _expect(reader, stamp)
        yield reader
        _expect(reader, stamp)
    finally:
        os.close(reader)


def _expect(reader: int, stamp: FileStamp) -> None:
    status = os.fstat(reader)
    if not stat.S_ISREG(status.st_mode) or FileStamp.of(stamp.path, status) != stamp:
        raise Moved(f"{stamp.path!r} is another file")


def _clone(reader: int, writer: int) -> bool:
    """Share the blocks instead of copying them, where the file system can: a copy of this moment."""
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError:
        return False
    return True


def _both(first: Callable[[bytes], object], second: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def update(chunk: bytes) -> None:
        first(chunk)
        second(chunk)

    return update
