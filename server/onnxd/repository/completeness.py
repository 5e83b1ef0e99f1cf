"""Which models are whole for certain, so that they need not settle: those whose manifests say so."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from onnxd.errors import LoadFailed
from onnxd.repository.copying import Moved, hash_file
from onnxd.repository.layout import ModelFiles
from onnxd.repository.manifest import Stated, read_stated, stated
from onnxd.repository.tree import FileStamp, Fingerprint

MAX_HASHED_BYTES: Final = 256 * 2**20
"""Of one model. Hashing more takes longer than it takes to settle, and is done while it is copied anyway."""
MAX_HASHING_S: Final = 1.0
"""Of all models in one scan: many that come at once settle meanwhile."""

Seen = tuple[ModelFiles, ModelFiles | None]
"""A model as it is, and as it was when it last settled."""


class Completeness:
    """Hashes what manifests name. Between two calls it remembers files that have not changed meanwhile.

    All that it says holds for the stamps that the scan saw: what changes later is seen by the next scan, or
    by the copy.
    """

    def __init__(self) -> None:
        self._before: dict[Path, tuple[FileStamp, str]] = {}
        self._now: dict[Path, tuple[FileStamp, str]] = {}
        self._until_s = 0.0

    def of(self, models: Iterable[Seen]) -> frozenset[str]:
        """The names of those that are complete. Blocking; does not raise for what it finds."""
        self._now = {}
        self._until_s = time.monotonic() + MAX_HASHING_S
        names = frozenset(model.name for model, known in models if self._is_complete(model, known))
        self._before = self._now
        return names

    def _is_complete(self, model: ModelFiles, known: ModelFiles | None) -> bool:
        if model.fault or not any(_has_manifest(model, version) for version in (None, *model.versions)):
            return False
        if any(version.problems for version in model.versions.values()):
            return False
        return all(self._part(model, version, known) for version in (None, *model.versions))

    def _part(self, model: ModelFiles, version: int | None, known: ModelFiles | None) -> bool:
        """Of the settings (None) or a version: it is as its manifest says, or nothing of it has changed."""
        seen, part = _files(model, version), stated(model, version)
        if part is not None:
            try:
                files = read_stated(part)
                if files is not None:
                    return self._as_stated(part, files)
            except (LoadFailed, Moved, OSError):
                return False
        before = None if known is None else _files(known, version)
        return not seen or seen == before

    def _as_stated(self, part: Stated, files: dict[str, str]) -> bool:
        names = {stamp.path for stamp in part.own}
        if part.expected(files).keys() != names:
            return False
        if sum(stamp.size for stamp in part.own) > MAX_HASHED_BYTES:
            return False
        return not part.difference(
            files, {stamp.path: self._hash(part.directory / stamp.path, stamp) for stamp in part.own}
        )

    def _hash(self, path: Path, stamp: FileStamp) -> str:
        before = self._before.get(path)
        if before is not None and before[0] == stamp:
            digest = before[1]
        elif time.monotonic() < self._until_s:
            digest = hash_file(path, stamp)
        else:
            return ""
        self._now[path] = stamp, digest
        return digest


def _has_manifest(model: ModelFiles, version: int | None) -> bool:
    return stated(model, version) is not None


def _files(model: ModelFiles, version: int | None) -> Fingerprint | None:
    if version is None:
        return model.settings
    files = model.versions.get(version)
    return None if files is None else files.fingerprint
