"""What the program found, as tables: printed, written, and quoted in docs/scale.md."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).with_name("results.json")
PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
PLACE: Final = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
"""Where a table stands in the page."""


@dataclass(frozen=True, slots=True)
class Table:
    """One question and its answers. The first column says of what, the others are figures."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    misses: Sequence[str] = ()
    """What must hold and does not."""
    series: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    """Points to draw, by the name of the line."""


def document(tables: Sequence[Table]) -> dict[str, Any]:
    """For JSON."""
    return {
        each.name: {key: value for key, value in asdict(each).items() if key != "name"} for each in tables
    }


def write(tables: Sequence[Table], path: Path = RESULTS) -> None:
    """For `read`; a table that is not among them stays."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | document(tables), indent=1, ensure_ascii=False) + "\n")


def read(path: Path = RESULTS) -> dict[str, Table]:
    """Those written last, by name."""
    return {name: Table(name, **each) for name, each in json.loads(path.read_text()).items()}


def markdown(table: Table) -> str:
    """As docs/scale.md shows it."""
    lines = [table.columns, ["---", *["---:"] * (len(table.columns) - 1)], *table.rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def filled(page: str, tables: Mapping[str, Table]) -> str:
    """The page with these tables in their places."""
    return PLACE.sub(lambda place: place[1] + markdown(tables[place[2]]) + "\n" + place[3], page)


def ms(milliseconds: float) -> str:
    """Two digits at least, so that what is short is not rounded away."""
    if milliseconds == float("inf"):
        return "lost"
    digits = 0 if milliseconds >= 100 else 1
    return f"{milliseconds:,.{digits}f}"


def percent(share: float) -> str:
    """Of one; "<" where it would be rounded away."""
    if 0 < share < 0.00005:
        return "< 0.01 %"
    return f"{share:.2%}".replace("%", " %") if share < 0.1 else f"{share:.0%}".replace("%", " %")
