"""`onnxd top`."""

import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Final

import click

from onnxd.cli.figures import Activity, activities
from onnxd.cli.output import print_table, printable
from onnxd.cli.remote import connected, url_option

if TYPE_CHECKING:
    from rich.table import Table

    from onnxd_client import Client, Moment

_HEADER: Final = (
    "MODEL", "VERSION", "STATE", "REQUESTS", "P50", "P99", "QUEUE P99", "ROWS", "WAITING", "BUSY",
    "FAILED", "MEMORY",
)  # fmt: skip
_OVER: Final = 3
"""Seconds that a figure is of: one is too short for quantiles, ten too long to watch."""


@click.command("top")
@url_option
@click.option("--once", is_flag=True, help="Print one table and end, as is done where there is no terminal.")
def command(url: str, once: bool) -> None:
    """Watch what each version does: requests a second, times, batches, queue. Ctrl-C ends it.

    REQUESTS and FAILED are per second, P50 and P99 of the whole time in the server, QUEUE P99 of the time in
    the queue, ROWS the mean of the batches that ran; all of the last seconds. Over HTTP only.
    """
    with connected(url) as client, closing(_figures(client)) as seen:
        if once or not sys.stdout.isatty():
            print_table(_HEADER, map(_row, next(seen)[1]))
        else:
            _watch(url, seen)


def _figures(client: "Client") -> Generator[tuple["Moment", list[Activity]], None, None]:
    kept: list[Moment] = []
    with closing(client.watch()) as watching:
        for moment in watching:
            kept = [*kept[-_OVER:], moment]
            if len(kept) > 1:
                yield moment, activities(kept[0], moment)


def _watch(url: str, seen: Iterator[tuple["Moment", list[Activity]]]) -> None:
    from rich.live import Live

    try:
        with Live(screen=True, auto_refresh=False) as live:
            for moment, rows in seen:
                live.update(_table(url, moment, rows), refresh=True)
    except KeyboardInterrupt:
        return


def _table(url: str, moment: "Moment", rows: list[Activity]) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    document = moment.document
    ready = "ready" if document["ready"] else "not ready"
    table = Table(
        title=printable(f"{url}: {ready}, {document['in_flight']} in flight"),
        title_justify="left",
        box=SIMPLE_HEAD,
        caption="Ctrl-C ends",
        caption_justify="left",
    )
    for at, title in enumerate(_HEADER):
        table.add_column(title, justify="left" if at < 3 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in _row(row)))
    return table


def _row(seen: Activity) -> tuple[str, ...]:
    from onnxd.units import size_text

    return (
        seen.name,
        seen.version,
        seen.state,
        _rate(seen.requests_s),
        _time(seen.p50_s),
        _time(seen.p99_s),
        _time(seen.queue_p99_s),
        "" if seen.mean_rows is None else f"{seen.mean_rows:.3g}",
        "" if seen.waiting is None else str(seen.waiting),
        "" if seen.busy is None else str(seen.busy),
        _rate(seen.failures_s),
        "" if seen.resident_bytes is None else size_text(seen.resident_bytes),
    )


def _rate(per_second: float | None) -> str:
    return "" if per_second is None else f"{per_second:.0f}/s" if per_second >= 100 else f"{per_second:.2g}/s"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for unit_s, name in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:.3g} {name}"
    return f"{seconds * 1e6:.3g} µs"
