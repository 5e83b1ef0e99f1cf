"""No row of the tables of bad input is without a test that runs."""

import subprocess
import sys
from typing import Final

import pytest

from tests.contract.collected import rows
from tests.support.server import ROOT

FOLDERS: Final = (
    "tests/contract",
    "tests/lifecycle",
    "tests/unit/grpc_frontend",
    "tests/unit/protocol",
    "tests/unit/security",
    "tests/unit/settings",
    "tests/unit/telemetry",
)


def numbered(letter: str, *numbers: int) -> set[str]:
    return {f"{letter}{number}" for number in numbers}


BAD_INPUTS: Final = {
    "HTTP framing": numbered("A", *range(1, 13), *range(14, 21), 22, *range(24, 30)),
    "names and routes": numbered("B", 1, 2, 3, 4, 6, 7, 8, 9),
    "JSON": numbered("C", *range(1, 6), *range(7, 16)),
    "binary tensors": numbered("D", *range(1, 10)),
    "shapes and semantics": numbered("E", *range(1, 8), *range(9, 13), 14, 15),
    "load and unload": numbered("H", *range(1, 12)),
    "model files and configs": numbered("I", *range(1, 13), *range(14, 19), 20, 21, 22),
    "settings, metrics and traces": numbered("K", 1, 2, 4, 5, 6, 7, 8) | {"W12"},
    "faults under load": numbered("S", 3, 5, 8, 9, 10, 11, 20),
    "shared memory": numbered("F", *range(1, 11), *range(12, 16)),
    "gRPC": numbered("G", *range(1, 10), 11, 12, 14, 15, 16),
    # Not yet: 39 (decoupled models), 40 to 42 (sequences).
    "loads": numbered("H", *range(1, 12)),
    "the protocol's invalid inputs": {str(row) for row in range(1, 51)} - {"39", "40", "41", "42"},
    "access": numbered("J", *range(1, 8), *range(9, 17), 18),
}
"""The rows that must have a test, by table. Numbers that a table does not have are left out."""


@pytest.fixture(scope="module")
def tested() -> set[str]:
    """The rows that the suite's tests stand for."""
    command = [sys.executable, "-m", "tests.contract.collected", *FOLDERS]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert listed.returncode == 0, listed.stdout + listed.stderr
    return set(listed.stdout.rpartition("ROWS")[2].split())


@pytest.mark.parametrize("table", BAD_INPUTS)
def test_every_row_has_a_test(tested: set[str], table: str) -> None:
    assert BAD_INPUTS[table] - tested == set()


def test_a_test_stands_for_the_row_that_its_name_begins_with() -> None:
    names = [
        "test_x[C8-text in FP32]",
        "test_x[HTTP-aio-H7-files]",
        "test_x[row-21-batch]",
        "test_A12_chunks",
        "test_row_43_queue",
        "test_x[I6-nodes]",
    ]
    assert list(rows(names)) == ["C8", "H7", "21", "A12", "43", "I6"]


def test_other_names_stand_for_nothing() -> None:
    assert list(rows(["test_x[UTF-C8-text]", "test_x[C8x]", "test_C8ish", "test_E1a", "test_x[A-1]"])) == []
