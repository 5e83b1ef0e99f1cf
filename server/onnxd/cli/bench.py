"""`onnxd bench`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from onnxd.cli.completion import model_names
from onnxd.cli.mistake import Mistake
from onnxd.cli.output import printable
from onnxd.cli.remote import connected, url_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxd.cli.load_inputs import Inputs
    from onnxd.cli.wanted import Wanted
    from onnxd_client import Client

_T = TypeVar("_T")
_MOST_LEVELS: Final = 16
_MOST_CONCURRENCY: Final = 1024
_MOST_RATE: Final = 1e6
_DISTINCT: Final = 256


def _concurrencies(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...]:
    levels = [] if value is None else value.split(",")
    if not all(level.strip().isdecimal() and 1 <= int(level) <= _MOST_CONCURRENCY for level in levels):
        raise click.BadParameter(
            f"expected numbers from 1 to {_MOST_CONCURRENCY} such as 1,8,64, got {value!r}", ctx, param
        )
    return _not_too_many(tuple(map(int, levels)), ctx, param)


def _rates(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...]:
    try:
        levels = () if value is None else tuple(map(float, value.split(",")))
    except ValueError:
        levels = (math.nan,)
    if not all(0 < level <= _MOST_RATE for level in levels):
        raise click.BadParameter(f"expected requests a second such as 100,500, got {value!r}", ctx, param)
    return _not_too_many(levels, ctx, param)


def _not_too_many(levels: tuple[_T, ...], ctx: click.Context, param: click.Parameter) -> tuple[_T, ...]:
    if len(levels) > _MOST_LEVELS:
        raise click.BadParameter(f"expected at most {_MOST_LEVELS} levels, got {len(levels)}", ctx, param)
    return levels


@click.command("bench")
@click.argument("model", shell_complete=model_names)
@url_option
@click.option(
    "--version", type=click.IntRange(min=1), help="The version to ask; the server's choice without."
)
@click.option(
    "--concurrency", callback=_concurrencies, metavar="N[,N]...", help="Requests at a time. [1,8,64]"
)
@click.option(
    "--rate",
    callback=_rates,
    metavar="R[,R]...",
    help="Instead: requests a second, at random moments, whatever the answers take.",
)
@click.option(
    "--duration",
    type=click.FloatRange(min=0.05, max=3600),
    default=5.0,
    show_default=True,
    help="Seconds of each level.",
)
@click.option(
    "--requests",
    type=click.IntRange(min=1, max=10_000_000),
    default=1_000_000,
    show_default=True,
    help="Requests of each level at most.",
)
@click.option("--rows", type=click.IntRange(min=1, max=65536), help="Rows of each request. [1]")
@click.option(
    "--input",
    "given",
    multiple=True,
    metavar="[NAME=]INPUT",
    help="What to send, as for `onnxd infer`; made up from the model's inputs without.",
)
@click.option(
    "--deadline",
    type=click.FloatRange(min=0.001, max=3600),
    default=30.0,
    show_default=True,
    help="Seconds after which a request counts as failed.",
)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write it as JSON."
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw it (.png, .svg, .pdf); needs the extra `plot`.",
)
def command(
    model: str,
    url: str,
    version: int | None,
    concurrency: tuple[int, ...],
    rate: tuple[float, ...],
    duration: float,
    requests: int,
    rows: int | None,
    given: tuple[str, ...],
    deadline: float,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    """Measure how fast MODEL of a running server answers.

    With --concurrency, so many callers each ask again when they are answered: what the server can do. With
    --rate, requests come at random moments at that rate, and each counts from when it was due, also if the
    client was late or the server stalled: what callers would see. Each level is preceded by a short one that
    does not count.

    QUEUE, COMPUTE and BATCH are the server's own means. CLIENT CPU is this client's share of one CPU and
    CLIENT LAG how late its event loop was (p99): when the client was the bottleneck, notes say so.
    """
    if concurrency and rate:
        raise Mistake("give --concurrency or --rate: one waits for answers, the other does not")
    if plot is not None:
        from onnxd.cli.bench_plot import check_plot

        check_plot(plot)
    from onnxd.cli.bench_report import show, write_json
    from onnxd.cli.bench_run import Asked, Bench, run

    with connected(url) as client:
        inputs, rows, notes = _inputs(client, model, version, given, rows)
        server = client.server()
    levels = tuple(Bench(rate=each) for each in rate) or tuple(
        Bench(concurrency=each) for each in concurrency or (1, 8, 64)
    )
    asked = Asked(url, model, version, inputs, rows, deadline)
    results = run(asked, levels, duration, requests)
    show(asked, results, notes)
    if json_file is not None:
        write_json(json_file, asked, results, f"{server.name} {server.version}")
    if plot is not None:
        from onnxd.cli.bench_plot import draw

        draw(plot, f"{model} at {url}", results)
    if not any(result.answered for result in results):
        raise click.ClickException("nothing was answered")


def _inputs(
    client: "Client", model: str, version: int | None, given: tuple[str, ...], rows: int | None
) -> "tuple[Sequence[Inputs], int, list[str]]":
    """What to send, in how many rows, and what to say of it."""
    from onnxd.cli.infer import wanted_inputs
    from onnxd.cli.sources import collect
    from onnxd.cli.wanted import Unfit

    wanted = wanted_inputs(client, client.metadata(model, version), version)
    if not given:
        inputs = _made_up(client, model, version, list(wanted.values()), rows or 1)
        return inputs, rows or 1, [f"inputs are made up: {len(inputs)} different requests"]
    if rows is not None:
        raise Mistake("--rows is for inputs that are made up; the rows of --input are its own")
    try:
        collected = collect(given, wanted, None)
    except Unfit as error:
        raise Mistake(printable(str(error))) from error
    client.infer(model, collected.values, version=version)
    batched = [collected.values[name] for name, each in wanted.items() if each.batches]
    note = "every request is the same: a server may answer some of them together"
    return [collected.values], len(batched[0]) if batched else 1, [*collected.notes, note]


def _made_up(
    client: "Client", model: str, version: int | None, wanted: "list[Wanted]", rows: int
) -> "Sequence[Inputs]":
    from onnxd.cli.load_inputs import candidates, made_up
    from onnxd_client import InvalidRequest, ServerFault

    if rows > 1 and not any(tensor.batches for tensor in wanted):
        raise Mistake(f"model '{model}' takes no batches, so that --rows cannot be {rows}")
    refusal: Exception | None = None
    for candidate in candidates(wanted):
        (first,) = made_up(wanted, candidate, rows, 1)
        try:
            client.infer(model, first, version=version)
        except (InvalidRequest, ServerFault) as error:
            refusal = refusal or error
            continue
        return made_up(wanted, candidate, rows, _DISTINCT)
    raise click.ClickException(
        f"no inputs could be made up that model '{model}' takes; give --input ({printable(str(refusal))})"
    )
