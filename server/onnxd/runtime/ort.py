"""The one door to ONNX Runtime: no other module imports it.

Its Linux wheels report home unless a variable says otherwise before the import, which is why importing this
module sets it.
"""

import os
from collections.abc import Collection
from importlib import metadata
from typing import Final

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

__all__ = ["check_distributions", "faults_of_distributions", "onnxruntime"]

_DISTRIBUTIONS: Final = ("onnxruntime", "onnxruntime-gpu")


def check_distributions() -> None:
    """Raises RuntimeError unless exactly one ONNX Runtime is installed. For the start of the server."""
    if fault := faults_of_distributions({name for name in _DISTRIBUTIONS if _is_installed(name)}):
        raise RuntimeError(fault)


def faults_of_distributions(installed: Collection[str]) -> str | None:
    """What is wrong with this set of installed distributions, and how to mend it.

    Both share one import name, so that with two installed it is chance which files won.
    """
    if all(name in installed for name in _DISTRIBUTIONS):
        return (
            "both onnxruntime and onnxruntime-gpu are installed, and they overwrite each other's files: "
            "uninstall both, then install one of them (onnxd[cpu] or onnxd[gpu])"
        )
    return None


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
