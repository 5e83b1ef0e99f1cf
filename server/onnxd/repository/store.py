"""Private copies of model files, named by their content.

Models are run from here and never from the watched directory: ONNX Runtime maps external data into memory,
so that truncating a watched file would end the process and rewriting it would change a model's answers.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final

import structlog

from onnxd.errors import LoadFailed
from onnxd.repository.copying import (
    CopyRefused,
    Moved,
    copy_files,
    digest_of_copy,
    head,
    new_file,
    write,
)
from onnxd.repository.history import History, read_histories, remove_history, write_history
from onnxd.repository.layout import ModelFiles, read_settings, read_version
from onnxd.repository.manifest import Stated, read_stated, stated, without_manifest
from onnxd.repository.tree import Fingerprint

_SNAPSHOTS: Final = "snapshots"
_HISTORY: Final = "history"
_LOCK: Final = "server.lock"
_PARTIAL: Final = ".partial-"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_OURS: Final = re.compile(r"[0-9a-f]{64}|\.partial-.+")

_log = structlog.get_logger(__name__)


class Unsettled(LoadFailed):
    """The files changed while they were read: no fault of the model's. A later scan has them whole."""


class NoRoom(LoadFailed):
    """The state directory's disk is full."""


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

    A context manager. Every method blocks on the disk and may be called from any thread, but for `history`.
    Copies live as long as the store is open, and those that a history names beyond that; closing it makes a
    `take` that still runs fail. What else a server that died left behind is removed by the next to open.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._directory = state_dir / _SNAPSHOTS
        self._resources = ExitStack()
        self._lock = threading.Lock()
        self._pins: dict[str, int] = {}
        self._copies: set[str] = set()
        """Made while the store is open, or found to be whole."""
        self._inherited: set[str] = set()
        """Left by an earlier server, and not yet looked into."""
        self._histories: dict[str, History] = {}
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
                self._histories = read_histories(self._state_dir / _HISTORY)
                self._inherited = self._remove_all()
            except StateDirectoryUnusable:
                raise
            except OSError as error:
                raise StateDirectoryUnusable(
                    f"cannot use the state directory {self._state_dir}: {error.strerror}; "
                    "name a directory that can be written with --state-dir"
                ) from error
            self._pins, self._copies, self._open = {}, set(), True
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
            what,
            files.path,
            files.fingerprint,
            stated(model, version),
            lambda: read_version(model.path, version, flat=files.flat, root=model.root)[0],
        )

    def take_settings(self, model: ModelFiles) -> StoredFiles:
        """Copy what lies beside the versions (config, labels) as the scan saw it. Raises as `take` does."""
        return self._take(
            f"the settings of model '{model.name}'",
            model.path,
            model.settings,
            stated(model, None),
            lambda: read_settings(model.path),
        )

    def put(self, what: str, files: Mapping[str, bytes]) -> StoredFiles:
        """Keep files that came over the network, by names without a directory. Raises LoadFailed."""
        partial: Path | None = None
        try:
            partial = self._partial()
            digest = hashlib.sha256()
            for name, content in sorted(files.items()):
                digest.update(head(name, len(content)) + content)
                with new_file(partial / name) as writer:
                    write(writer, content)
            return self._keep(partial, digest.hexdigest(), sum(map(len, files.values())))
        except OSError as error:
            raise LoadFailed(
                f"{what} cannot be written into the server's state directory: {error.strerror}"
            ) from error
        finally:
            if partial is not None:
                shutil.rmtree(partial, ignore_errors=True)

    def hold(self, digest: str) -> StoredFiles:
        """One more hold on a copy that a history names. Raises LoadFailed if it is gone, or damaged."""
        path = self._directory / digest
        if digest in self._inherited and not self._is_whole(digest):
            self._inherited.discard(digest)
            self._discard(path)
        with self._lock:
            if not self._open:
                raise LoadFailed("the server is shutting down")
            if digest not in self._copies | self._inherited:
                raise LoadFailed("the copy that was kept is gone or damaged; load the model from its files")
            self._inherited.discard(digest)
            self._copies.add(digest)
            self._pins[digest] = self._pins.get(digest, 0) + 1
        return StoredFiles(
            path, digest, sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        )

    def release(self, stored: StoredFiles) -> None:
        """Give back one `take` or `hold`; the last one removes the copy, unless a history names it. Nothing
        is left to do on a closed store."""
        with self._lock:
            if not self._open:
                return
            self._pins[stored.digest] -= 1
            if not self._pins[stored.digest]:
                del self._pins[stored.digest]
        self._remove_unused([stored.digest])

    # What was served before, by model.

    def history(self, model: str) -> History | None:
        """Does not block; None = it has never served."""
        return self._histories.get(model)

    def remembered(self) -> tuple[str, ...]:
        """The models that have a history. Does not block."""
        return tuple(self._histories)

    def remember(self, model: str, history: History) -> None:
        """Replace a model's history. The copies that only the former one named are removed."""
        before = self._histories.get(model)
        if before == history:
            return
        self._histories[model] = history
        try:
            write_history(self._state_dir / _HISTORY, model, history)
        except OSError as error:
            # It holds until the server stops.
            _log.warning("history is not kept over a restart", model=model, reason=error.strerror)
        if before is not None:
            self._remove_unused(before.digests)

    def give_up_previous(self, model: str) -> bool:
        """Make room: nothing is left to go back to. Whether there was anything."""
        history = self._histories.get(model)
        if history is None or history.previous is None:
            return False
        self.remember(model, replace(history, previous=None))
        return True

    def forget(self, model: str) -> None:
        """The model is gone for good: so is what it served."""
        before = self._histories.pop(model, None)
        if before is None:
            return
        try:
            remove_history(self._state_dir / _HISTORY, model)
        except OSError as error:
            _log.warning("history cannot be removed", model=model, reason=error.strerror)
        self._remove_unused(before.digests)

    def _remove_unused(self, digests: Iterable[str]) -> None:
        """Those of the copies that nobody holds and no history names."""
        doomed = []
        with self._lock:
            if not self._open:
                return
            unused = set(digests) - self._named() - self._pins.keys()
            for digest in unused & (self._copies | self._inherited):
                self._copies.discard(digest)
                self._inherited.discard(digest)
                # Out of the way under the lock, so that a take of the same content does not find half of it.
                doomed.append(self._out_of_the_way(digest))
        for path in doomed:
            self._discard(path)

    def _named(self) -> set[str]:
        """The digests of all copies that a history names."""
        return {digest for history in tuple(self._histories.values()) for digest in history.digests}

    def _is_whole(self, digest: str) -> bool:
        try:
            return digest_of_copy(self._directory / digest) == digest
        except OSError:
            return False

    def _take(
        self,
        what: str,
        source: Path,
        seen: Fingerprint,
        manifest: Stated | None,
        look_again: Callable[[], Fingerprint],
    ) -> StoredFiles:
        partial: Path | None = None
        try:
            named = read_stated(manifest) if manifest is not None else None
            partial = self._partial()
            expected = without_manifest(seen)
            hashes: dict[str, str] = {}
            digest = copy_files(source, partial, expected, None if named is None else hashes)
            if look_again() != seen:
                raise Unsettled(f"{what} changed while it was copied; it is loaded once it has settled")
            difference = manifest.difference(named, hashes) if manifest and named is not None else ""
            if difference:
                raise LoadFailed(f"{what} cannot be loaded: {difference}")
            return self._keep(partial, digest, sum(stamp.size for stamp in expected))
        except CopyRefused as refusal:
            raise (NoRoom if refusal.errno in _FULL else LoadFailed)(
                f"{what} cannot be copied into the server's state directory: {refusal.strerror}; make room "
                "there, or start the server with another --state-dir"
            ) from refusal
        except Moved as moved:
            raise Unsettled(
                f"{what} changed while it was copied ({moved}); it is loaded once it has settled"
            ) from moved
        except OSError as error:
            raise LoadFailed(f"{what} cannot be read: {error.strerror}") from error
        finally:
            if partial is not None:
                self._discard(partial)

    def _partial(self) -> Path:
        try:
            return Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self._directory))
        except OSError as error:
            raise CopyRefused(error.errno, error.strerror) from error

    def _keep(self, partial: Path, digest: str, size_bytes: int) -> StoredFiles:
        stored = StoredFiles(self._directory / digest, digest, size_bytes)
        doomed: Path | None = None
        with self._lock:
            if not self._open:
                raise LoadFailed("the server is shutting down")
            if digest not in self._copies:
                if digest in self._inherited:
                    doomed = self._out_of_the_way(digest)
                    self._inherited.discard(digest)
                partial.rename(stored.path)
                self._copies.add(digest)
            self._pins[digest] = self._pins.get(digest, 0) + 1
        if doomed is not None:
            self._discard(doomed)
        return stored

    def _out_of_the_way(self, digest: str) -> Path:
        self._released += 1
        doomed = self._directory / f"{_PARTIAL}{digest}-{self._released}"
        (self._directory / digest).rename(doomed)
        return doomed

    @staticmethod
    def _discard(path: Path) -> None:
        shutil.rmtree(path, ignore_errors=True)

    def _remove_all(self, *, ignore_errors: bool = False) -> set[str]:
        """All that no history names. Returns the digests of what is left."""
        named, left = self._named(), set()
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if _OURS.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                    if entry.name in named:
                        left.add(entry.name)
                    else:
                        shutil.rmtree(entry.path, ignore_errors=ignore_errors)
        return left


def default_state_dir() -> Path:
    """`onnxd` in the user's state directory. Raises StateDirectoryUnusable for a user without a home."""
    configured = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(configured):
        return Path(configured) / "onnxd"
    try:
        return Path.home() / ".local" / "state" / "onnxd"
    except RuntimeError as error:
        raise StateDirectoryUnusable("this user has no home directory; give --state-dir") from error


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
