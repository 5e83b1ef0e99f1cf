"""manifest.yaml: what files a directory is meant to hold, so that nobody has to guess whether they are whole.

    files:
      model.onnx: 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef

In a version's directory it states that version; in a model's directory it states the settings and, with paths
such as `2/model.onnx`, the versions whose files it names. What it states is complete: a file that it does not
name is as wrong as one that is missing.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from onnxd.errors import LoadFailed
from onnxd.repository.copying import read_file
from onnxd.repository.document import FaultyDocument, shown
from onnxd.repository.layout import CONFIG_FILE, TRITON_CONFIG_FILE, ModelFiles
from onnxd.repository.tree import FileStamp, Fingerprint
from onnxd.repository.yaml_document import MAX_BYTES, parse_document

MANIFEST_FILE: Final = "manifest.yaml"
MAX_MANIFEST_BYTES: Final = MAX_BYTES

_PLAIN_PATH: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*|[1-9][0-9]*/[A-Za-z0-9_./-]+")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_EXPECTED: Final = "expected `files:` alone, with the SHA-256 of each file by its path (see `onnxd manifest`)"


@dataclass(frozen=True, slots=True)
class Stated:
    """The part of a manifest that is about a model's settings, or about one of its versions."""

    path: Path
    """Of the manifest."""
    stamp: FileStamp
    """Of it, as the scan saw it."""
    name: str
    """Of it, as messages show it."""
    directory: Path
    """Which the files of this part are in."""
    own: Fingerprint
    """The files of this part that were seen."""
    others: frozenset[str]
    """Files of the same directory that belong to another part."""
    prefix: str = ""
    """What the manifest has before the paths of this part: `2/` for a version in a model's manifest."""
    whole: bool = False
    """It is the settings' part of a model's manifest, which answers for versions that are not there."""
    versions: frozenset[int] = frozenset()
    """Those that are there."""

    def expected(self, files: Mapping[str, str]) -> dict[str, str]:
        """The digests of this part, by paths within its directory, of all that the manifest has."""
        expected = {}
        for path, digest in files.items():
            if not path.startswith(self.prefix):
                continue
            name = path.removeprefix(self.prefix)
            version, slash, _ = name.partition("/")
            if self.whole and slash and version.isdecimal() and int(version) in self.versions:
                continue
            if name not in self.others:
                expected[name] = digest
        return expected

    def difference(self, files: Mapping[str, str], found: Mapping[str, str]) -> str:
        """The first thing in which the files that were found, by their digests, are not what the manifest
        says; empty if they are."""
        expected = self.expected(files)
        for path in sorted(expected.keys() | found.keys()):
            if path not in found:
                return f"{self.name} names '{shown(path)}', which is missing"
            if path not in expected:
                return f"'{shown(path)}' is not in {self.name}; write it anew with `onnxd manifest`"
            if expected[path] != found[path]:
                return (
                    f"'{shown(path)}' is not the file that {self.name} names: "
                    f"expected SHA-256 {expected[path]}, got {found[path]}"
                )
        return ""


def stated(model: ModelFiles, version: int | None) -> Stated | None:
    """Where a manifest speaks of a version, or with None of the settings. None = none does, as far as can be
    told without reading it."""
    above = _manifest_in(model.settings)
    if version is None:
        if above is None:
            return None
        flat = {stamp.path for files in model.versions.values() if files.flat for stamp in files.fingerprint}
        settings = {stamp.path for stamp in model.settings}
        return Stated(
            model.path / MANIFEST_FILE,
            above,
            MANIFEST_FILE,
            model.path,
            without_manifest(model.settings),
            frozenset(flat - settings),
            whole=True,
            versions=frozenset() if flat else frozenset(model.versions),
        )
    files = model.versions[version]
    own = without_manifest(files.fingerprint)
    if files.flat:
        if above is None:
            return None
        others = {stamp.path for stamp in model.settings} - {stamp.path for stamp in own}
        others |= {CONFIG_FILE, TRITON_CONFIG_FILE}
        return Stated(model.path / MANIFEST_FILE, above, MANIFEST_FILE, files.path, own, frozenset(others))
    within = _manifest_in(files.fingerprint)
    if within is not None:
        name = f"{version}/{MANIFEST_FILE}"
        return Stated(files.path / MANIFEST_FILE, within, name, files.path, own, frozenset())
    if above is not None:
        path = model.path / MANIFEST_FILE
        return Stated(path, above, MANIFEST_FILE, files.path, own, frozenset(), prefix=f"{version}/")
    return None


def read_stated(part: Stated) -> dict[str, str] | None:
    """All that the manifest has, digest by path; None if it has nothing of this part, as a model's manifest
    need not name every version. Blocking. Raises LoadFailed, Moved, OSError."""
    files = parse_manifest(read_file(part.path, part.stamp, MAX_MANIFEST_BYTES + 1), part.name)
    spoken_of = not part.prefix or any(path.startswith(part.prefix) for path in files)
    return files if spoken_of else None


def without_manifest(files: Fingerprint) -> Fingerprint:
    """What is copied, and makes the content of a model: a manifest beside the same files changes nothing."""
    return tuple(stamp for stamp in files if stamp.path != MANIFEST_FILE)


def parse_manifest(data: bytes, source: str) -> dict[str, str]:
    """Digest by path. Raises LoadFailed with every fault, at its line."""
    try:
        document = parse_document(data, source)
    except FaultyDocument as error:
        raise LoadFailed(str(error)) from error
    faults = list(document.faults)
    if not faults:
        faults = [document.fault(loc, text) for loc, text in _problems(document.value)]
    if faults:
        raise LoadFailed(document.render(faults))
    files: dict[str, str] = document.value["files"]
    return files


def render_manifest(files: Mapping[str, str]) -> str:
    """The text of a manifest."""
    lines = (f"  {_key(path)}: {_value(files[path])}" for path in sorted(files))
    return "\n".join(("files:", *lines, ""))


def _problems(value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    if not isinstance(value, dict) or not isinstance(value.get("files"), dict):
        yield (), _EXPECTED
        return
    for key in value.keys() - {"files"}:
        yield (key,), _EXPECTED
    for path, digest in value["files"].items():
        parts = path.split("/")
        if any(part in ("", ".", "..") for part in parts):
            yield ("files", path), "expected a path within the directory, with / between its parts"
        elif not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            yield ("files", path), "expected a SHA-256 as 64 hexadecimal digits in lower case"


def _manifest_in(files: Fingerprint) -> FileStamp | None:
    return next((stamp for stamp in files if stamp.path == MANIFEST_FILE), None)


def _key(path: str) -> str:
    """As YAML reads it back, whatever the name: `no` alone would be false."""
    plain = _PLAIN_PATH.fullmatch(path) and not path.isalnum()
    return path if plain else f'"{"".join(map(_quoted, path))}"'


def _quoted(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else f"\\U{ord(char):08x}"


def _value(digest: str) -> str:
    return f'"{digest}"' if digest.isdecimal() else digest
