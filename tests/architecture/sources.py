"""The project's own Python files, and what they import."""

import ast
import io
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from tests.support.server import ROOT

DISTRIBUTED: Final = ("server/onnxd", "clients/onnxd_client", "protos/onnxd_protos", "sim_core")
EVERYTHING: Final = ("server", "clients", "protos", "sim_core", "scripts", "benchmarks", "tests")


def python_files(*folders: str) -> list[Path]:
    """Every .py file below them, relative to the project's root."""
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_bytes(), str(path))


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it, by their full names."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """The calls in a file, by the name as it is written: `asyncio.sleep`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """The comments in a file, each with its line."""
    with tokenize.open(ROOT / path) as source:
        for token in tokenize.generate_tokens(io.StringIO(source.read()).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
