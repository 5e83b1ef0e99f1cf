"""Printed tables."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

_WIDTH = 160


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """The first column to the left, figures to the right."""
    table = Table(box=box.SIMPLE)
    for at, column in enumerate(columns):
        table.add_column(column, justify="right" if at else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(width=_WIDTH, highlight=False)
    console.print(title)
    console.print(table)
