"""The local copy of a repository in an object store: a directory that is changed by renames alone.

    NAME -> .states/DIGEST      a model; the link is replaced in one step
    .states/DIGEST/...          one state of one model: links into .objects
    .objects/HASH               one object each, whole, never written again
    .staging/                   what is being written

A scan of the directory passes over names with a dot, and takes links that stay within it. Links, because a
second name for a file changes its change time, and what has not changed would be loaded again.
Names say what they hold, so that nothing else needs to be remembered: a server that died leaves at worst
files that nobody names, and the next look removes them.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final

from onnxd.repository.object_store.listing import RemoteModel, RemoteObject
from onnxd.repository.store import StateDirectoryUnusable

_STATES: Final = ".states"
_OBJECTS: Final = ".objects"
_STAGING: Final = ".staging"
_LOCK: Final = ".lock"
_DIGEST: Final = re.compile(r"[0-9a-f]{32}")


class Mirror:
    """A context manager; one server at a time may hold it open. Every method blocks on the disk and raises
    OSError; none may run beside another, but for `download`."""

    def __init__(self, directory: Path) -> None:
        self.directory: Final = directory
        self._resources = ExitStack()

    def __enter__(self) -> "Mirror":
        """Raises StateDirectoryUnusable."""
        mend = "name another with object_store.cache_dir"
        with ExitStack() as resources:
            try:
                self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                resources.callback(os.close, lock)
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for name in (_STATES, _OBJECTS):
                    self._own(name)
                shutil.rmtree(self.directory / _STAGING, ignore_errors=True)
                self._own(_STAGING)
            except BlockingIOError as error:
                raise StateDirectoryUnusable(
                    f"the copy of the repository in {self.directory} is in use by another server; {mend}"
                ) from error
            except OSError as error:
                raise StateDirectoryUnusable(
                    f"cannot use {self.directory} for the copy of the repository: {error.strerror}; {mend}"
                ) from error
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._resources.close()

    def local(self) -> dict[str, str]:
        """The digest of each model that is copied."""
        found = {}
        for entry in os.scandir(self.directory):
            if entry.is_symlink() and entry.is_dir():
                digest = os.path.basename(os.readlink(entry.path))
                found[entry.name] = digest if _DIGEST.fullmatch(digest) else ""
        return found

    def lacking(self, model: RemoteModel) -> list[RemoteObject]:
        """Which of its objects are not here, each once."""
        return [each for each in dict.fromkeys(model.files.values()) if not self._has(each)]

    def draft(self) -> Path:
        """A path for a new file, for `keep` or `discard`."""
        return Path(tempfile.mkdtemp(dir=self.directory / _STAGING)) / "new"

    def keep(self, draft: Path, wanted: RemoteObject) -> None:
        """Take a file that was written whole."""
        draft.chmod(0o600)
        draft.rename(self._object(wanted))
        draft.parent.rmdir()

    def discard(self, draft: Path) -> None:
        shutil.rmtree(draft.parent, ignore_errors=True)

    def swap(self, model: RemoteModel) -> None:
        """Show this state of a model from now on. All its objects are here."""
        state = self.directory / _STATES / model.digest
        if not state.is_dir():
            draft = self.draft()
            draft.mkdir()
            for path, each in model.files.items():
                link = draft / path
                link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                link.symlink_to(os.path.relpath(self._object(each), (state / path).parent))
            draft.rename(state)
            draft.parent.rmdir()
        draft = self.draft()
        draft.symlink_to(Path(_STATES, model.digest))
        draft.rename(self.directory / model.name)
        draft.parent.rmdir()

    def remove(self, name: str) -> None:
        (self.directory / name).unlink(missing_ok=True)

    def collect(self, wanted: Iterable[RemoteModel]) -> None:
        """Remove what neither is shown nor belongs to one of these models. Not at once after a swap: the
        state before it may be being read."""
        wanted = tuple(wanted)
        states = set(self.local().values()) | {model.digest for model in wanted}
        objects = {self._object(each).name for model in wanted for each in model.files.values()}
        for entry in os.scandir(self.directory / _STATES):
            if entry.name in states:
                links = (path for path in Path(entry.path).rglob("*") if path.is_symlink())
                objects.update(os.path.basename(os.readlink(path)) for path in links)
            else:
                shutil.rmtree(entry.path, ignore_errors=True)
        for entry in os.scandir(self.directory / _OBJECTS):
            if entry.name not in objects:
                os.unlink(entry.path)

    def _has(self, wanted: RemoteObject) -> bool:
        try:
            status = os.lstat(self._object(wanted))
        except FileNotFoundError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == wanted.size

    def _object(self, wanted: RemoteObject) -> Path:
        key = repr((wanted.key, wanted.size, wanted.tag)).encode()
        return self.directory / _OBJECTS / hashlib.sha256(key).hexdigest()

    def _own(self, name: str) -> None:
        """A directory of ours, never one that a link leads to."""
        path = self.directory / name
        path.mkdir(mode=0o700, exist_ok=True)
        if path.is_symlink():
            raise OSError(errno.ELOOP, f"{name} in it is a link")
