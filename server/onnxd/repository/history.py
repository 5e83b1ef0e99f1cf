"""What a model served, and served before that, so that it can be taken back without its files.

Pure, but for reading and writing the notes: one JSON file a model, which names copies in the store by their
content.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from onnxd.errors import InvalidName
from onnxd.protocol.names import check_model_name

_SUFFIX: Final = ".json"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MAX_NOTE_BYTES: Final = 2**20
_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidName)
"""What reading a note may raise that is not one of ours."""


@dataclass(frozen=True, slots=True)
class Generation:
    """All that a model serves at one time, by content."""

    settings: str
    """Digest of the config and what lies beside it."""
    versions: Mapping[int, str]
    """Digest of each version's files."""

    @property
    def identities(self) -> dict[int, str]:
        """Of its versions, as ServedVersion has them."""
        return {number: identity(self.settings, digest) for number, digest in self.versions.items()}

    @property
    def digests(self) -> frozenset[str]:
        return frozenset((self.settings, *self.versions.values()))

    def __str__(self) -> str:
        versions = ", ".join(f"{number} ({digest[:12]})" for number, digest in sorted(self.versions.items()))
        return f"version{'s' if len(self.versions) > 1 else ''} {versions}"


@dataclass(frozen=True, slots=True)
class History:
    """Two generations of one model, no more."""

    current: Generation
    """What serves, or served last."""
    previous: Generation | None = None
    """What served before it."""
    rejected: Generation | None = None
    """What its files held when it was rolled back: not loaded again before they are others, or somebody asks
    for it."""

    @property
    def digests(self) -> frozenset[str]:
        """The copies that it needs."""
        return self.current.digests | (self.previous.digests if self.previous else frozenset())

    def target(self, serving: Mapping[int, str]) -> Generation | None:
        """What a rollback leads to when these identities serve: what served before them."""
        return self.previous if serving == self.current.identities else self.current

    def loaded(self, generation: Generation) -> "History":
        """After these were loaded from the model's files."""
        if generation == self.current:
            return replace(self, rejected=None)
        return History(generation, previous=self.current)

    def rolled_back(self, target: Generation, on_disk: Generation | None) -> "History":
        """After `target` was taken back. `on_disk`: what the files hold; None = nobody knows."""
        if target == self.current:
            return replace(self, rejected=None if on_disk == target else on_disk)
        rejected = on_disk or self.current
        return History(target, previous=self.current, rejected=None if rejected == target else rejected)


def identity(settings: str, version: str) -> str:
    """Of a version with its settings, both by content."""
    return f"{settings}:{version}"


def version_content(of: str) -> str:
    """The version's part of an identity."""
    return of.rpartition(":")[2]


def read_histories(directory: Path) -> dict[str, History]:
    """By model. What cannot be read is left out: it only means that there is nothing to go back to.

    Raises OSError if there is a directory that cannot be listed.
    """
    histories = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            name = entry.name.removesuffix(_SUFFIX)
            if name != entry.name and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(*_UNREADABLE):
                    check_model_name(name)
                    histories[name] = _read(Path(entry.path))
    return histories


def write_history(directory: Path, name: str, history: History) -> None:
    """In one step. Raises OSError."""
    document = {
        "current": _document(history.current),
        "previous": _document(history.previous),
        "rejected": _document(history.rejected),
    }
    directory.mkdir(mode=0o700, exist_ok=True)
    draft = directory / f".{name}.tmp"
    draft.write_text(json.dumps(document), "utf-8")
    draft.replace(directory / f"{name}{_SUFFIX}")


def remove_history(directory: Path, name: str) -> None:
    """No error if there is none. Raises OSError."""
    (directory / f"{name}{_SUFFIX}").unlink(missing_ok=True)


def _document(generation: Generation | None) -> dict[str, Any] | None:
    if generation is None:
        return None
    versions = {str(number): digest for number, digest in generation.versions.items()}
    return {"settings": generation.settings, "versions": versions}


def _read(path: Path) -> History:
    with path.open("rb") as file:
        document = json.loads(file.read(_MAX_NOTE_BYTES))
    current = _generation(document["current"])
    if current is None:
        raise ValueError("there is nothing that served")
    return History(current, _generation(document["previous"]), _generation(document["rejected"]))


def _generation(document: Any) -> Generation | None:
    if document is None:
        return None
    versions = {int(number): str(digest) for number, digest in document["versions"].items()}
    generation = Generation(str(document["settings"]), versions)
    if not versions or not all(_DIGEST.fullmatch(digest) for digest in generation.digests):
        # They become names of directories.
        raise ValueError("not a digest")
    return generation
