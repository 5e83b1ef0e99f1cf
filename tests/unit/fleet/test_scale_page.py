"""docs/scale.md quotes what the program found, table by table and figure by figure."""

import re
from typing import Final

import pytest

from benchmarks.fleet import questions
from benchmarks.fleet_sim import measure, results

NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:[,.]\d+)*(?!\w)")
NOT_PROSE: Final = re.compile(r"^    .*$|`[^`]*`|\]\([^)]*\)|HTTP/2", re.MULTILINE)
"""Commands, code, and where links lead."""
ASSUMED: Final = {"95", "90", "40", "30"}
"""Bounds of a search, the time until a node is there, what 60 % leave, and a default."""
FOUND: Final = results.read()


TEXT: Final = results.PAGE.read_text(encoding="utf-8")


def names(text: str) -> list[str]:
    return [place[2] for place in results.PLACE.finditer(text)]


def test_every_table_of_the_page_is_what_the_program_found() -> None:
    assert results.filled(TEXT, FOUND) == TEXT, "python -m benchmarks.fleet --page"
    assert set(FOUND) - set(names(TEXT)) == {"agreement", "theory"}


@pytest.mark.parametrize("section", TEXT.split("\n## ")[1:], ids=lambda text: text.partition("\n")[0])
def test_every_number_of_a_section_stands_in_its_tables_or_is_assumed(section: str) -> None:
    tables = [FOUND[name] for name in names(section)]
    found = {
        number
        for table in tables
        for text in (table.title, *table.columns, *(cell for row in table.rows for cell in row))
        for number in NUMBER.findall(text)
    }
    prose = NOT_PROSE.sub("", results.PLACE.sub("", section))
    assert {number for number in NUMBER.findall(prose) if number not in found | ASSUMED} == set()


def test_nothing_was_missed_when_they_were_made() -> None:
    assert [miss for table in FOUND.values() for miss in table.misses] == []


def test_the_program_has_these_tables_and_no_others() -> None:
    assert set(questions(measure.read(), short=True)) == set(FOUND)


def test_the_quick_ones_are_found_again() -> None:
    asked = questions(measure.read(), short=False)
    for name in ("services", "policies", "bursts"):
        again = asked[name]()
        assert (again.rows, again.columns) == (FOUND[name].rows, FOUND[name].columns)
