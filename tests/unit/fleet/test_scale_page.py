"""docs/scale.md quotes what the program found, table by table and figure by figure."""

import re
from pathlib import Path
from typing import Final

import pytest

from benchmarks.fleet import questions
from benchmarks.fleet_sim import measure, results

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "scale.md"
TABLE: Final = re.compile(r"<!-- table: (\w+) -->\n(.*?)\n<!-- end -->", re.DOTALL)
QUOTED: Final = re.compile(r"\*\*([^*]+)\*\*")
FOUND: Final = results.read()


def sections() -> list[str]:
    return PAGE.read_text(encoding="utf-8").split("\n## ")[1:]


def test_every_table_of_the_page_is_what_the_program_found() -> None:
    shown = dict(TABLE.findall(PAGE.read_text(encoding="utf-8")))
    for name, text in shown.items():
        assert text == results.markdown(FOUND[name]), f"{name}: python -m scripts.scale_tables"
    assert set(FOUND) - set(shown) <= {"agreement", "theory"}


@pytest.mark.parametrize("section", sections(), ids=lambda text: text.partition("\n")[0])
def test_a_bold_figure_stands_in_a_table_of_its_section(section: str) -> None:
    cells = {
        cell
        for name, _ in TABLE.findall(section)
        for cell in (*FOUND[name].columns, *(cell for row in FOUND[name].rows for cell in row))
    }
    prose = TABLE.sub("", section)
    assert [quoted for quoted in QUOTED.findall(prose) if quoted not in cells] == []


def test_nothing_was_missed_when_they_were_made() -> None:
    assert [miss for table in FOUND.values() for miss in table.misses] == []


def test_the_program_has_these_tables_and_no_others() -> None:
    assert set(questions(measure.read(), short=True)) == set(FOUND)


def test_the_quick_ones_are_found_again() -> None:
    asked = questions(measure.read(), short=False)
    for name in ("services", "policies", "bursts"):
        again = asked[name]()
        assert (again.rows, again.columns) == (FOUND[name].rows, FOUND[name].columns)
