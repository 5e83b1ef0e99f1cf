"""Repositories that are one model's own directory, as orchestrators mount them. What they serve adds one."""

from pathlib import Path

from tests.support.graphs import add_one


def bare(mount: Path) -> None:
    """The graph and nothing else."""
    mount.mkdir()
    (mount / "model.onnx").write_bytes(add_one())


def versioned(mount: Path) -> None:
    """Versions 1 and 2."""
    for version in (1, 2):
        (mount / str(version)).mkdir(parents=True)
        (mount / str(version) / "model.onnx").write_bytes(add_one())
