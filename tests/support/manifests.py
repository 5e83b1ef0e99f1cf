"""What deploy/ holds, as documents."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.support.server import ROOT

DEPLOY: Final = ROOT / "deploy"
RENDERED: Final = DEPLOY / "kubernetes" / "rendered"
KSERVE: Final = DEPLOY / "kserve"
Document = Mapping[str, Any]

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def documents(path: Path) -> list[Document]:
    """Every document of a file."""
    with path.open(encoding="utf-8") as file:
        return [document for document in yaml.safe_load_all(file) if document is not None]


def of_kind(path: Path, kind: str) -> list[Document]:
    """Those of a kind in a file."""
    return [document for document in documents(path) if document["kind"] == kind]


def the(path: Path, kind: str) -> Document:
    """The one of a kind in a file."""
    (document,) = of_kind(path, kind)
    return document


def containers() -> Iterator[tuple[str, Document]]:
    """Every container that runs onnxd, by the file that has it."""
    for path in sorted(RENDERED.glob("*.yaml")):
        (container,) = the(path, "Deployment")["spec"]["template"]["spec"]["containers"]
        yield path.stem, container
    for path in sorted(KSERVE.glob("clusterservingruntime*.yaml")):
        (container,) = the(path, "ClusterServingRuntime")["spec"]["containers"]
        yield path.stem, container
