"""Each row of the tables that this folder stands for has a test that carries its id."""

import re
from pathlib import Path

import pytest

ROWS = {
    *(f"A{number}" for number in (*range(1, 13), *range(14, 21), 22, *range(24, 30))),
    *(f"B{number}" for number in (1, 2, 3, 4, 6, 7, 8, 9)),
}


def test_no_row_is_missing() -> None:
    text = "\n".join(
        path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path.name != "test_rows.py"
    )
    found = set(re.findall(r'(?:def test_|id="|ids=")([AB]\d+)[-_]', text))
    assert found == ROWS


def test_no_row_is_skipped(request: pytest.FixtureRequest) -> None:
    here = str(Path(__file__).parent)
    marks = [
        mark.name
        for item in request.session.items
        if str(item.path).startswith(here)
        for mark in item.iter_markers()
    ]
    assert {"skip", "skipif", "xfail"}.isdisjoint(marks)
