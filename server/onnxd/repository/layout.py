"""What the disk says is in the repository: models, their versions, and a fingerprint of each.

    <root>/<model>/config.yaml, labels.txt, ...    the model's settings (config.pbtxt is Triton's form)
    <root>/<model>/<version>/model.onnx, ...       one directory per version, named by a positive integer;
                                                   model.onnx may be a directory that holds it and its weights
    <root>/<model>/model.onnx, ...                 without any version directory: version 1
    <root>/...                                     one model whose files lie directly in the root, if it is
                                                   given a name: what orchestrators' initializers leave there

Only directory entries are read here, never a file's content.
"""

import hashlib
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from onnxd.errors import InvalidName
from onnxd.protocol.names import check_model_name
from onnxd.repository.tree import Directory, Fingerprint, Tree, ignored, read_tree, status_or_none

CONFIG_FILE: Final = "config.yaml"
TRITON_CONFIG_FILE: Final = "config.pbtxt"
"""Read when there is no CONFIG_FILE."""
_CONFIG_FILES: Final = (CONFIG_FILE, TRITON_CONFIG_FILE)
MAX_VERSION: Final = 2**63 - 1
MAX_SETTINGS_FILE_BYTES: Final = 16 * 2**20
"""A larger file beside the versions is somebody's data, not a config or a list of labels."""

_VERSION: Final = re.compile(r"[1-9][0-9]{0,18}")
_LIKE_A_NUMBER: Final = re.compile(r"[+-]?[0-9][0-9.]*")
_MODEL_SUFFIX: Final = ".onnx"


@dataclass(frozen=True, slots=True)
class VersionFiles:
    """One version as it lies on disk."""

    number: int
    path: Path
    """Where its files are reached, links not resolved: by the next look they may lead elsewhere."""
    flat: bool
    """Its files lie directly in the model's directory."""
    fingerprint: Fingerprint
    problems: tuple[str, ...]
    """Why it cannot be loaded as it is; empty = nothing seen against it."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """One model as it lies on disk."""

    name: str
    root: Path
    path: Path
    settings: Fingerprint
    """The config and what lies beside it (labels), without models and large files."""
    versions: Mapping[int, VersionFiles]
    """Ascending. Empty only if there is a fault."""
    fault: str
    """Why nothing of it can be loaded, fit for a client to read; empty = nothing seen against it."""
    warnings: tuple[str, ...]
    newest_ns: int
    """When anything of it last changed, by the file system's wall clock."""
    key: str
    """Equal keys mean that nothing has changed; the key of other content, or of a copy of it, differs."""

    @property
    def config_file(self) -> str:
        """The name of the config that counts, whether it is there or not."""
        present = {stamp.path for stamp in self.settings}
        return next((name for name in _CONFIG_FILES if name in present), CONFIG_FILE)


@dataclass(frozen=True, slots=True)
class RootFiles:
    """One repository directory."""

    path: Path
    identity: tuple[int, int] | None
    """Device and inode of the directory that the path led to; None if it could not be read."""
    fault: str
    """Why nothing can be said of its models; empty = it was read."""
    awaited: bool = False
    """It is filled from elsewhere, and has not been yet."""


@dataclass(frozen=True, slots=True)
class RepositorySnapshot:
    """Everything that one scan saw."""

    models: Mapping[str, ModelFiles]
    """By name, sorted."""
    roots: Mapping[Path, RootFiles]
    problems: tuple[str, ...]
    """For the operator's log."""
    directories: frozenset[Directory]
    """Where a change of any of it would happen."""


def scan(roots: Sequence[Path], single_model: str = "") -> RepositorySnapshot:
    """Read the repositories' directories. Blocking; never raises for what it finds there.

    `single_model` is the name of the model that a root is, if it holds a model's files and not a repository
    of models; empty = a root is always a repository.

    What cannot be read appears with a fault, never as absent. A name that two repositories have, or that
    differs from another in case only, is a fault of each of them.
    """
    states: dict[Path, RootFiles] = {}
    found: dict[str, list[ModelFiles]] = defaultdict(list)
    problems: list[str] = []
    directories: set[Directory] = set()
    for root in dict.fromkeys(roots):
        states[root] = _scan_root(root, single_model, found, problems, directories)
    models = _without_twins(found)
    for model in models.values():
        problems.extend(f"model '{model.name}': {warning}" for warning in model.warnings)
    return RepositorySnapshot(models, states, tuple(problems), frozenset(directories))


def read_version(
    model_path: Path, number: int, *, flat: bool, root: Path | None = None
) -> tuple[Fingerprint, tuple[str, ...]]:
    """The fingerprint of one version's files as they are now, and the problems. Blocking; raises OSError.

    `root`: the repository, where it is not the directory above the model's.
    """
    within = (model_path, root or model_path.parent)
    if flat:
        return _flat_version(read_tree(model_path, deep=False, within=within))
    tree = read_tree(model_path / str(number), within=within)
    return tree.stamps, (*tree.problems, *_stray(tree.strays))


def read_settings(model_path: Path) -> Fingerprint:
    """The fingerprint of a model's settings as they are now. Blocking; raises OSError."""
    return _settings(read_tree(model_path, deep=False))


def read_model(path: Path) -> ModelFiles | None:
    """One model by its directory, whatever repository it is in; None if there is none. Blocking; does not
    raise for what it finds there."""
    path = Path(os.path.abspath(path))
    return _scan_model(path.name, path.parent, set())


def _scan_root(
    root: Path,
    single_model: str,
    found: dict[str, list[ModelFiles]],
    problems: list[str],
    directories: set[Directory],
) -> RootFiles:
    try:
        status = os.stat(root)
        with os.scandir(root) as entries:
            listing = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        return RootFiles(root, None, f"the repository cannot be read: {error.strerror}")
    identity = (status.st_dev, status.st_ino)
    directories.add(Directory(os.path.realpath(root), *identity))
    if single_model and (part := part_of_a_model(entry.name for entry in listing)):
        if (model := _scan_model(single_model, root, directories, path=root)) is not None:
            found[single_model].append(model)
        problems.extend(
            f"directory {entry.name!r} is not served: the repository is itself the model '{single_model}', "
            f"because {part!r} lies in it"
            for entry in listing
            if _is_a_model(entry)
        )
        return RootFiles(root, identity, "")
    for entry in listing:
        if ignored(entry.name):
            continue
        try:
            entry_status = status_or_none(entry.stat)
        except OSError as error:
            if not _name_problem(entry.name):
                found[entry.name].append(_unreadable(entry.name, root, error))
            continue
        if entry_status is None:
            if entry.is_symlink():
                problems.append(f"{entry.name!r} in the repository is a link to nothing")
        elif not stat.S_ISDIR(entry_status.st_mode):
            if entry.name.endswith(_MODEL_SUFFIX):
                problems.append(
                    f"{entry.name!r} lies directly in the repository; a model is a directory: "
                    f"move it to {entry.name.removesuffix(_MODEL_SUFFIX)}/1/model.onnx, or name it with "
                    "single_model_name"
                )
        elif problem := _name_problem(entry.name):
            problems.append(f"directory {entry.name!r} is not served: {problem}")
        elif (model := _scan_model(entry.name, root, directories)) is not None:
            found[entry.name].append(model)
    return RootFiles(root, identity, "")


def _name_problem(name: str) -> str:
    """Why no client could ask for a model of this name; empty if one could."""
    try:
        check_model_name(name)
    except InvalidName as error:
        return error.message
    return ""


def part_of_a_model(names: Iterable[str]) -> str:
    """Which of these makes their directory a model's: a config, a graph or a version; "" = none."""
    for name in names:
        graph = name.endswith(_MODEL_SUFFIX) and not ignored(name)
        if graph or name in _CONFIG_FILES or _VERSION.fullmatch(name):
            return name
    return ""


def _is_a_model(entry: os.DirEntry[str]) -> bool:
    """Whether it is a directory that would be a model in a repository, and not a version."""
    if ignored(entry.name) or _VERSION.fullmatch(entry.name) or entry.name.endswith(_MODEL_SUFFIX):
        return False
    try:
        return entry.is_dir() and bool(part_of_a_model(os.listdir(entry.path)))
    except OSError:  # gone, or nobody's to read: it is not served in any case
        return False


def _scan_model(
    name: str, root: Path, directories: set[Directory], *, path: Path | None = None
) -> ModelFiles | None:
    """None if it vanished meanwhile. `path`: its directory, if that has not its name."""
    path = path or root / name
    try:
        top = read_tree(path, deep=False, within=(root,))
        directories |= top.directories
        numbers, warnings = _version_numbers(top.subdirectories)
        versions = {}
        newest_ns = top.newest_ns
        for number in numbers:
            try:
                tree = read_tree(path / str(number), within=(path, root))
            except (FileNotFoundError, NotADirectoryError):
                continue
            directories |= tree.directories
            newest_ns = max(newest_ns, tree.newest_ns)
            problems = (*tree.problems, *_stray(tree.strays))
            if not tree.stamps:
                problems = (*problems, "its directory is empty")
            versions[number] = VersionFiles(number, path / str(number), False, tree.stamps, problems)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return _unreadable(name, root, error)
    loose = sorted(stamp.path for stamp in top.stamps if stamp.path.endswith(_MODEL_SUFFIX))
    if loose and versions:
        warnings.append(f"{loose[0]!r} is not served, because there are version directories beside it")
    elif loose:
        versions[1] = VersionFiles(1, path, True, *_flat_version(top))
    fault = ""
    if not versions:
        place = "1/model.onnx" if path == root else f"{name}/1/model.onnx"
        fault = "; ".join((f"it has no version: put its file into {place}", *top.problems))
    model = ModelFiles(
        name, root, path, _settings(top), versions, fault, (*warnings, *top.problems), newest_ns, ""
    )
    return _keyed(model)


def _version_numbers(names: Iterable[str]) -> tuple[list[int], list[str]]:
    numbers, warnings = [], []
    for name in names:
        if _VERSION.fullmatch(name) and int(name) <= MAX_VERSION:
            numbers.append(int(name))
        elif _LIKE_A_NUMBER.fullmatch(name):
            warnings.append(
                f"directory {name!r} is not a version: versions are whole numbers from 1 to {MAX_VERSION} "
                "without leading zeros"
            )
    return sorted(numbers), warnings


def _flat_version(top: Tree) -> tuple[Fingerprint, tuple[str, ...]]:
    stamps = tuple(stamp for stamp in top.stamps if stamp.path not in _CONFIG_FILES)
    strays = [path for path in top.strays if path not in _CONFIG_FILES]
    return stamps, (*top.problems, *_stray(strays))


def _stray(paths: Iterable[str]) -> Iterator[str]:
    """A model that came with a link to a file elsewhere would serve that file as its weights."""
    for path in paths:
        yield (
            f"{path!r} is a link to somewhere outside of the repository; copy what it leads to, or link the "
            "model's or the version's whole directory"
        )


def _settings(top: Tree) -> Fingerprint:
    return tuple(
        stamp
        for stamp in top.stamps
        if not stamp.path.endswith(_MODEL_SUFFIX) and stamp.size <= MAX_SETTINGS_FILE_BYTES
    )


def _unreadable(name: str, root: Path, error: OSError) -> ModelFiles:
    return faulty(name, root, f"its files cannot be read: {error.strerror}")


def faulty(name: str, root: Path, fault: str) -> ModelFiles:
    """A model of which nothing can be told but why."""
    return _keyed(ModelFiles(name, root, root / name, (), {}, fault, (), 0, ""))


def _without_twins(found: Mapping[str, Sequence[ModelFiles]]) -> dict[str, ModelFiles]:
    folded: dict[str, list[str]] = defaultdict(list)
    for name in sorted(found):
        folded[name.casefold()].append(name)
    models = {}
    for name in sorted(found):
        model = found[name][0]
        others = [other for other in folded[name.casefold()] if other != name]
        if len(found[name]) > 1:
            # No version of it is known: whose would it be?
            model = _keyed(replace(model, versions={}, fault="model appears in two or more repositories"))
        elif others:
            model = _keyed(replace(model, fault=f"its name differs from that of '{others[0]}' in case only"))
        models[name] = model
    return models


def _keyed(model: ModelFiles) -> ModelFiles:
    versions = [(version.path, version.fingerprint, version.problems) for version in model.versions.values()]
    parts = (model.path, model.settings, versions, model.fault)
    return replace(model, key=hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest())
