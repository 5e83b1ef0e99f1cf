"""What commands print."""

import sys
from collections.abc import Iterable, Sequence

import click
import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDE = 10_000
"""Columns where nobody's terminal is: a pipe gets whole lines."""


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned columns on standard output; long cells wrap on a terminal only."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in header:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def print_json(value: object) -> None:
    """Indented, numbers as numbers; not-a-number becomes null."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))


def printable(text: str) -> str:
    """Text from elsewhere, with everything escaped that a terminal would act upon; lines stay lines."""
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)
