"""Making a manifest of files that lie still."""

from pathlib import Path

from onnxd.cli.mistake import Mistake
from onnxd.repository.copying import Moved, hash_file
from onnxd.repository.layout import read_model
from onnxd.repository.manifest import MANIFEST_FILE, MAX_MANIFEST_BYTES, render_manifest, without_manifest
from onnxd.repository.tree import Fingerprint, read_tree


def write_manifest(directory: Path) -> tuple[Path, int]:
    """Of a model's or a version's directory. Returns where it was written, and how many files it names.

    Raises Mistake.
    """
    target = directory / MANIFEST_FILE
    try:
        files = {
            prefix + stamp.path: hash_file(where / stamp.path, stamp)
            for where, prefix, stamps in _parts(directory)
            for stamp in without_manifest(stamps)
        }
        if not files:
            raise Mistake(f"{directory} has no files that a server would read")
        text = render_manifest(files).encode()
        if len(text) > MAX_MANIFEST_BYTES:
            raise Mistake(f"{directory} has {len(files)} files, too many for a manifest")
        draft = directory / f".{MANIFEST_FILE}.tmp"
        draft.write_bytes(text)
        draft.replace(target)
    except Moved as moved:
        raise Mistake(f"{directory} changed while it was read: {moved}") from moved
    except UnicodeEncodeError as error:
        raise Mistake(f"{directory} has a file whose name is not UTF-8") from error
    except OSError as error:
        raise Mistake(f"{error.filename or directory}: {error.strerror}") from error
    return target, len(files)


def _parts(directory: Path) -> list[tuple[Path, str, Fingerprint]]:
    """The directories that hold files of it, how their paths begin in the manifest, and the files."""
    model = read_model(directory)
    if model is None or not model.versions:
        # No versions in it, and no graph: it is one itself, if it is anything.
        return [(directory, "", read_tree(directory).stamps)]
    parts = [(directory, "", model.settings)]
    for version in model.versions.values():
        if version.flat:
            beside = {stamp.path for stamp in model.settings}
            graph = tuple(stamp for stamp in version.fingerprint if stamp.path not in beside)
            parts.append((directory, "", graph))
        else:
            parts.append((version.path, f"{version.number}/", version.fingerprint))
    return parts
