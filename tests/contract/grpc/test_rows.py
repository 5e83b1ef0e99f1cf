"""Each row of the tables that this folder stands for has a case that carries its id."""

import re
from pathlib import Path

import pytest

PROTOCOL = {f"row-{n}" for n in (*range(1, 6), 11, 12, *range(16, 29), 30, 44, 47, 48)}
FAULTS = {
    *(f"G{number}" for number in (*range(1, 10), 11, 12, 14, 15, 16)),
    *(f"E{number}" for number in range(1, 8)),
    *(f"D{number}" for number in (4, 5, 6)),
}


def test_no_row_is_missing() -> None:
    text = "\n".join(
        path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path.name != "test_rows.py"
    )
    found = set(re.findall(r'"(row-\d+|[A-K]\d+)-', text))
    assert found >= PROTOCOL | FAULTS


def test_no_row_is_skipped(request: pytest.FixtureRequest) -> None:
    here = str(Path(__file__).parent)
    marks = [
        mark.name
        for item in request.session.items
        if str(item.path).startswith(here)
        for mark in item.iter_markers()
    ]
    assert {"skip", "skipif", "xfail"}.isdisjoint(marks)
