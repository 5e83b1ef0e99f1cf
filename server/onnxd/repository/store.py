"""Private copies of model files, named by their content.

Models are run from here and never from the watched directory: ONNX Runtime maps external data into memory,
so that truncating a watched file would end the process and rewriting it would change a model's answers.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from onnxd.errors import LoadFailed
from onnxd.repository.layout import ModelFiles, read_settings, read_version
from onnxd.repository.tree import FileStamp, Fingerprint

_COPY_BYTES: Final = 2**20
_FICLONE: Final = 0x40049409
"""ioctl that shares a file's blocks with another until either is written; in fcntl from Python 3.12 on."""
_SNAPSHOTS: Final = "snapshots"
_LOCK: Final = "server.lock"
_PARTIAL: Final = ".partial-"
_OURS: Final = re.compile(r"[0-9a-f]{64}|\.partial-.+")


class Unsettled(LoadFailed):
    """The files changed while they were read: no fault of the model's. A later scan has them whole."""


class StateDirectoryUnusable(OSError):
    """The state directory cannot be had. For the operator at start-up: the message names the path."""


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """One pinned copy. It stays unchanged until it is released as often as it was taken."""

    path: Path
    """A directory that holds the files under their relative paths. To be read, never written."""
    digest: str
    """SHA-256 over the sorted relative paths and contents, in hex: equal digest, equal files."""
    size_bytes: int


class SnapshotStore:
    """Copies under `<state_dir>/snapshots`; one server at a time may hold it open.

    A context manager. Every method blocks on the disk and may be called from any thread. Copies live as
    long as the store is open; closing it makes a `take` that still runs fail. What a server that died left
    behind is removed by the next to open.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._directory = state_dir / _SNAPSHOTS
        self._resources = ExitStack()
        self._lock = threading.Lock()
        self._pins: dict[str, int] = {}
        self._released = 0
        self._open = False

    def __enter__(self) -> "SnapshotStore":
        """Raises StateDirectoryUnusable."""
        with ExitStack() as resources:
            try:
                self._state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(self._state_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                resources.callback(os.close, descriptor)
                _lock_or_raise(descriptor, self._state_dir)
                self._directory.mkdir(mode=0o700, exist_ok=True)
                if self._directory.is_symlink():
                    raise StateDirectoryUnusable(
                        f"{self._directory} is a link; a directory is expected there"
                    )
                self._directory.chmod(0o700)
                self._remove_all()
            except StateDirectoryUnusable:
                raise
            except OSError as error:
                raise StateDirectoryUnusable(
                    f"cannot use the state directory {self._state_dir}: {error.strerror}; "
                    "name a directory that can be written with --state-dir"
                ) from error
            self._pins, self._open = {}, True
            resources.callback(self._remove_all, ignore_errors=True)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._open = False
        self._resources.close()

    def take(self, model: ModelFiles, version: int) -> StoredFiles:
        """Copy a version's files as the scan saw them.

        Raises Unsettled if they are others by now, LoadFailed if they cannot be copied.
        """
        files = model.versions[version]
        what = f"version {version} of model '{model.name}'"
        if files.problems:
            raise LoadFailed(f"{what} cannot be loaded: {'; '.join(files.problems)}")
        return self._take(
            what, files.path, files.fingerprint, lambda: read_version(model.path, version, flat=files.flat)[0]
        )

    def take_settings(self, model: ModelFiles) -> StoredFiles:
        """Copy what lies beside the versions (config, labels) as the scan saw it. Raises as `take` does."""
        return self._take(
            f"the settings of model '{model.name}'",
            model.path,
            model.settings,
            lambda: read_settings(model.path),
        )

    def put(self, what: str, files: Mapping[str, bytes]) -> StoredFiles:
        """Keep files that came over the network, by names without a directory. Raises LoadFailed."""
        partial: Path | None = None
        try:
            partial = self._partial()
            digest = hashlib.sha256()
            for name, content in sorted(files.items()):
                digest.update(_head(name, len(content)) + content)
                with _new_file(partial / name) as writer:
                    _write(writer, content)
            return self._keep(partial, digest.hexdigest(), sum(map(len, files.values())))
        except OSError as error:
            raise LoadFailed(
                f"{what} cannot be written into the server's state directory: {error.strerror}"
            ) from error
        finally:
            if partial is not None:
                shutil.rmtree(partial, ignore_errors=True)

    def release(self, stored: StoredFiles) -> None:
        """Give back one `take`; the last one removes the copy. Nothing is left to do on a closed store."""
        with self._lock:
            if not self._open:
                return
            self._pins[stored.digest] -= 1
            if self._pins[stored.digest]:
                return
            del self._pins[stored.digest]
            # Out of the way under the lock, so that a take of the same content does not find half of it.
            self._released += 1
            doomed = self._directory / f"{_PARTIAL}{stored.digest}-{self._released}"
            stored.path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def _take(
        self, what: str, source: Path, expected: Fingerprint, look_again: Callable[[], Fingerprint]
    ) -> StoredFiles:
        partial: Path | None = None
        try:
            partial = self._partial()
            digest = _copy(source, partial, expected)
            if look_again() != expected:
                raise Unsettled(f"{what} changed while it was copied; it is loaded once it has settled")
            return self._keep(partial, digest, sum(stamp.size for stamp in expected))
        except _CopyRefused as refusal:
            raise LoadFailed(
                f"{what} cannot be copied into the server's state directory: {refusal.strerror}; make room "
                "there, or start the server with another --state-dir"
            ) from refusal
        except _Moved as moved:
            raise Unsettled(
                f"{what} changed while it was copied ({moved}); it is loaded once it has settled"
            ) from moved
        except OSError as error:
            raise LoadFailed(f"{what} cannot be read: {error.strerror}") from error
        finally:
            if partial is not None:
                shutil.rmtree(partial, ignore_errors=True)

    def _partial(self) -> Path:
        try:
            return Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self._directory))
        except OSError as error:
            raise _CopyRefused(error.errno, error.strerror) from error

    def _keep(self, partial: Path, digest: str, size_bytes: int) -> StoredFiles:
        stored = StoredFiles(self._directory / digest, digest, size_bytes)
        with self._lock:
            if not self._open:
                raise LoadFailed("the server is shutting down")
            if digest not in self._pins:
                partial.rename(stored.path)
            self._pins[digest] = self._pins.get(digest, 0) + 1
        return stored

    def _remove_all(self, *, ignore_errors: bool = False) -> None:
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if _OURS.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=ignore_errors)


def default_state_dir() -> Path:
    """`onnxd` in the user's state directory. Raises StateDirectoryUnusable for a user without a home."""
    configured = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(configured):
        return Path(configured) / "onnxd"
    try:
        return Path.home() / ".local" / "state" / "onnxd"
    except RuntimeError as error:
        raise StateDirectoryUnusable("this user has no home directory; give --state-dir") from error


class _CopyRefused(OSError):
    """The store's own disk said no."""


class _Moved(Exception):
    """A source file is not the one that the scan saw."""


def _lock_or_raise(descriptor: int, state_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        raise StateDirectoryUnusable(
            f"the state directory {state_dir} is in use by another onnxd (process {holder or 'unknown'}); "
            "give each server its own with --state-dir"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _copy(source: Path, target: Path, expected: Fingerprint) -> str:
    """Copy the files that are expected, as they are expected, and return the digest of the copy."""
    digest = hashlib.sha256()
    for stamp in expected:
        digest.update(_head(stamp.path, stamp.size))
        copy = target / stamp.path
        try:
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _CopyRefused(error.errno, error.strerror) from error
        _copy_file(source / stamp.path, copy, stamp, digest.update)
    return digest.hexdigest()


def _copy_file(source: Path, copy: Path, stamp: FileStamp, update: Callable[[bytes], object]) -> None:
    # O_NONBLOCK: a pipe put in the file's place must not hold the thread for ever.
    try:
        reader = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise _Moved(f"{stamp.path!r} is gone") from error
        raise
    with ExitStack() as resources:
        resources.callback(os.close, reader)
        _expect(reader, stamp)
        writer = resources.enter_context(_new_file(copy))
        cloned = _clone(reader, writer)
        left = stamp.size
        while left and (chunk := os.read(writer if cloned else reader, min(left, _COPY_BYTES))):
            update(chunk)
            left -= len(chunk)
            if not cloned:
                _write(writer, chunk)
        if left or os.fstat(writer).st_size != stamp.size:
            raise _Moved(f"{stamp.path!r} has another size")
        _expect(reader, stamp)


def _head(path: str, size: int) -> bytes:
    """What a file adds to a digest before its content: with the lengths first, no two sets of files give the
    same stream of bytes."""
    name = os.fsencode(path)
    return len(name).to_bytes(8) + name + size.to_bytes(8)


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[int]:
    try:
        writer = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o400)
    except OSError as error:
        raise _CopyRefused(error.errno, error.strerror) from error
    try:
        yield writer
    finally:
        os.close(writer)


def _expect(reader: int, stamp: FileStamp) -> None:
    status = os.fstat(reader)
    if not stat.S_ISREG(status.st_mode) or FileStamp.of(stamp.path, status) != stamp:
        raise _Moved(f"{stamp.path!r} is another file")


def _clone(reader: int, writer: int) -> bool:
    """Share the blocks instead of copying them, where the file system can: a copy of this moment."""
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError:
        return False
    return True


def _write(writer: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[os.write(writer, rest) :]
    except OSError as error:
        raise _CopyRefused(error.errno, error.strerror) from error
