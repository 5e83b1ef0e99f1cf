"""Repository snapshots made by hand, for rules that take what a scan saw."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from onnxd.repository.layout import ModelFiles, RepositorySnapshot, RootFiles

ROOT = Path("models")


def model_files(
    name: str, key: str = "first", *, root: Path = ROOT, fault: str = "", newest_ns: int = 0
) -> ModelFiles:
    """A model of which only what the rules look at is filled in."""
    return ModelFiles(
        name=name,
        root=root,
        path=root / name,
        settings=(),
        versions={},
        fault=fault,
        warnings=(),
        newest_ns=newest_ns,
        key=key,
    )


def snapshot(
    models: Iterable[ModelFiles] = (),
    *,
    identities: Mapping[Path, tuple[int, int]] | None = None,
    faults: Mapping[Path, str] | None = None,
) -> RepositorySnapshot:
    """One scan of ROOT, or of the roots that are named in `identities` or `faults`."""
    roots = {path: RootFiles(path, identity, "") for path, identity in (identities or {ROOT: (1, 1)}).items()}
    roots |= {path: RootFiles(path, None, fault) for path, fault in (faults or {}).items()}
    return RepositorySnapshot({model.name: model for model in models}, roots, (), frozenset())
