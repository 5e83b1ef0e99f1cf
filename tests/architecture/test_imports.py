"""The house rules that a linter does not know."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.sources import DISTRIBUTED, EVERYTHING, calls, comments, imports, python_files
from tests.support.server import ROOT

LONGEST: Final = 400
"""Lines of a file, at most."""
LONGEST_SLEEP_S: Final = 0.1
SUPPRESSION: Final = re.compile(r"#\s*type: ignore(?!\[)|#\s*noqa(?!: )")


@pytest.mark.slow
def test_imports_point_down() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_packages_of_the_server_have_an_empty_init() -> None:
    packages = {path.parent for path in python_files("server/onnxd")}
    written = {package for package in packages if not (ROOT / package / "__init__.py").is_file()}
    assert written == set()
    assert [package for package in packages if (ROOT / package / "__init__.py").read_text()] == []


@pytest.mark.parametrize("folder", [*DISTRIBUTED, "scripts", "benchmarks"])
def test_no_file_is_too_long(folder: str) -> None:
    lines = {path: (ROOT / path).read_text().count("\n") for path in python_files(folder)}
    assert {path: count for path, count in lines.items() if count > LONGEST} == {}


def test_one_module_imports_onnx_runtime() -> None:
    importing = {
        path.as_posix()
        for path in python_files(*DISTRIBUTED)
        for name in imports(path)
        if name.partition(".")[0] == "onnxruntime"
    }
    assert importing == {"server/onnxd/runtime/ort.py"}


def test_modules_are_imported_by_their_full_names() -> None:
    relative = [
        path
        for path in python_files(*DISTRIBUTED)
        for node in ast.walk(ast.parse((ROOT / path).read_bytes()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_every_task_belongs_to_a_group() -> None:
    loose = {
        f"{path}:{call.lineno}"
        for path in python_files("server", "clients/onnxd_client", "sim_core")
        for name, call in calls(path)
        if name.endswith(("asyncio.create_task", "ensure_future", "loop.create_task"))
    }
    assert loose == set()


def test_one_place_knows_how_many_processors_there_are() -> None:
    """What the machine has is not what this process may use: runtime/threads.py asks for that, and falls back
    on the machine's where the system does not say."""
    asking = {
        path.name
        for path in python_files(*DISTRIBUTED)
        for name, _ in calls(path)
        if name.endswith((".cpu_count", ".process_cpu_count"))
    }
    assert asking == {"threads.py"}


def test_no_test_sleeps() -> None:
    """A pause between two looks is no sleep, where the test's own deadline ends the looking."""
    sleeping = {
        f"{path}:{call.lineno}"
        for path in python_files("tests")
        if path.name.startswith("test_")
        for name, call in calls(path)
        if name in ("time.sleep", "asyncio.sleep") and not _short(call)
    }
    assert sleeping == set()


def _short(call: ast.Call) -> bool:
    (pause,) = call.args[:1]
    if not isinstance(pause, ast.Constant) or not isinstance(pause.value, int | float):
        return False
    return pause.value < LONGEST_SLEEP_S


def test_whoever_silences_a_checker_says_which_rule() -> None:
    bare = {
        f"{path}:{line}: {comment}"
        for path in python_files(*EVERYTHING)
        for line, comment in comments(path)
        if SUPPRESSION.search(comment)
    }
    assert bare == set()


def test_nothing_is_left_to_do() -> None:
    unfinished = {
        f"{path}:{line}: {comment}"
        for path in python_files(*EVERYTHING)
        for line, comment in comments(path)
        if re.search(r"\b(TODO|FIXME|XXX)\b", comment)
    }
    assert unfinished == set()
