"""What `onnxd bench` prints and writes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import orjson

from onnxd.cli.bench_run import Asked
from onnxd.cli.measured import QUANTILES, Measured, limits
from onnxd.cli.mistake import Mistake
from onnxd.cli.output import print_table, printable
from onnxd.cli.waterfall import micros
from onnxd.runtime.threads import cpu_budget

_ANSWERS: Final = ("LOAD", "REQUESTS/S", *(f"P{quantile * 100:g}" for quantile in QUANTILES), "MAX", "ERRORS")
_SIDES: Final = ("LOAD", "QUEUE", "COMPUTE", "BATCH", "CLIENT CPU", "CLIENT LAG")
"""A table of its own: together they are wider than most terminals."""


def show(asked: Asked, results: Sequence[Measured], notes: Sequence[str]) -> None:
    """The tables, errors by kind, and what the figures do not say."""
    print_table(_ANSWERS, map(_answers, results))
    click.echo()
    print_table(_SIDES, map(_sides, results))
    click.echo()
    for result in results:
        for kind, count in result.errors.items():
            click.echo(f"error: at {result.load}: {count} times {printable(kind)}")
    if asked.rows > 1:
        rates = ", ".join(f"{result.rows_s:.0f} {result.load}" for result in results)
        click.echo(f"rows a second ({asked.rows} a request): {rates}")
    for note in (*notes, *_place(asked), *(text for result in results for text in limits(result))):
        click.echo(f"note: {printable(note)}")


def write_json(path: Path, asked: Asked, results: Sequence[Measured], server: str) -> None:
    """Raises Mistake."""
    document = {
        "model": asked.model,
        "version": asked.version,
        "url": asked.url,
        "server": server,
        "rows": asked.rows,
        "cpus": cpu_budget(),
        "levels": [result.document() for result in results],
    }
    try:
        path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise Mistake(f"{path} cannot be written: {error.strerror}") from error


def _answers(seen: Measured) -> tuple[str, ...]:
    times = tuple(map(seconds_text, seen.quantiles_s)) or ("",) * (len(QUANTILES) + 1)
    failed = str(sum(seen.errors.values()) + seen.unsent)
    return (seen.load, f"{seen.requests_s:.4g}", *times, failed)


def _sides(seen: Measured) -> tuple[str, ...]:
    server = seen.server
    return (
        seen.load,
        seconds_text(server.queue_s) if server else "",
        seconds_text(server.compute_s) if server else "",
        f"{server.mean_rows:.3g}" if server and server.mean_rows is not None else "",
        f"{seen.cpu_share:.0%}",
        seconds_text(seen.lag_p99_s),
    )


def seconds_text(seconds: float) -> str:
    """4.31 ms"""
    return micros(round(seconds * 1e6))


def _place(asked: Asked) -> list[str]:
    from onnxd_client.address import Address

    if not Address.parse(asked.url).loopback:
        return []
    return [f"server and client shared the {cpu_budget()} CPUs of this machine"]
