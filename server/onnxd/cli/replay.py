"""`onnxd replay`."""

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxd.cli.completion import model_names
from onnxd.cli.mistake import Mistake
from onnxd.cli.output import print_json, print_table, printable
from onnxd.cli.remote import connected, url_option

if TYPE_CHECKING:
    from onnxd.cli.replay_run import Replayed
    from onnxd.telemetry.record_reader import Entry


@click.command("replay")
@click.argument("recording", type=click.Path(exists=True, path_type=Path))
@click.option("--model", required=True, shell_complete=model_names, help="The model whose requests are sent.")
@click.option("--as", "other", shell_complete=model_names, help="Another model that is asked in its place.")
@click.option(
    "--version", type=click.IntRange(min=1), help="The version to ask; the server's choice without."
)
@click.option("--recorded-version", type=click.IntRange(min=1), help="Only what this version answered.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0.001, max=1e6),
    default=1.0,
    show_default=True,
    help="How many times as fast as they came.",
)
@click.option("--requests", type=click.IntRange(min=1), help="So many at most, the newest. [all]")
@click.option("--rtol", type=click.FloatRange(0), default=1e-3, show_default=True, help="As for golden.npz.")
@click.option("--atol", type=click.FloatRange(0), default=1e-5, show_default=True, help="As for golden.npz.")
@click.option(
    "--deadline",
    type=click.FloatRange(min=0.001, max=3600),
    default=60.0,
    show_default=True,
    help="Seconds after which a request counts as failed.",
)
@click.option("--warmup", is_flag=True, help="Send nothing: print their shapes as warm-up of a config.yaml.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@url_option
@click.pass_context
def command(
    ctx: click.Context,
    recording: Path,
    model: str,
    other: str | None,
    version: int | None,
    recorded_version: int | None,
    speed: float,
    requests: int | None,
    rtol: float,
    atol: float,
    deadline: float,
    warmup: bool,
    as_json: bool,
    url: str,
) -> None:
    """Send the requests in RECORDING again, with the gaps between them, and compare what is answered.

    RECORDING is the directory that the server's recorder writes to (setting recorder.share), or a file of it.
    The exit code is 1 if an answer differs, a request fails that had been answered, or none can be read.
    """
    entries = chosen(recording, model, recorded_version, requests)
    if warmup:
        from onnxd.cli.recorded_samples import warmup_yaml

        with connected(url) as client:
            batches = bool(client.config(other or model, version).get("max_batch_size"))
        click.echo(warmup_yaml(readable(entries), batches=batches), nl=False)
        return
    from onnxd.cli.answer_diff import Tolerance
    from onnxd.cli.replay_run import Replay, replay

    seconds = (entries[-1].arrived_ns - entries[0].arrived_ns) / 1e9 / speed
    click.echo(f"note: {len(entries)} requests, in {seconds:.3g} s", err=True)
    asked = Replay(url, other or model, version, speed, Tolerance(rtol, atol), deadline)
    with _progress(len(entries)) as advance:
        done = replay(asked, entries, advance)
    if as_json:
        print_json(_document(done))
    else:
        _show(done)
    ctx.exit(1 if done.differs else 0)


def chosen(recording: Path, model: str, version: int | None, most: int | None) -> "list[Entry]":
    """The newest records of a model, in the order of arrival. Raises Mistake."""
    from onnxd.telemetry.record_reader import RecordingUnusable, open_recording

    try:
        found = open_recording(recording)
    except RecordingUnusable as error:
        raise Mistake(printable(str(error))) from error
    for cut in found.cut:
        click.echo(f"note: {cut.name} ends within a record; what is before it is used", err=True)
    entries = [entry for entry in found.entries if entry.model == model and version in (None, entry.version)]
    if not entries:
        kinds = Counter((entry.model, entry.version) for entry in found.entries)
        there = ", ".join(f"{name} version {number} ({count})" for (name, number), count in kinds.items())
        wanted = f"model '{model}'" + (f" version {version}" if version else "")
        raise Mistake(printable(f"{recording} has no requests of {wanted}; it has {there or 'none at all'}"))
    return entries[-most:] if most else entries


def readable(entries: "list[Entry]") -> "Iterator[Any]":
    """The records, the newest first, without those that are damaged."""
    from onnxd.telemetry.records import BadRecord

    for entry in reversed(entries):
        with contextlib.suppress(BadRecord):
            yield entry.read()


def _show(done: "Replayed") -> None:
    counts = (
        ("same", done.same), ("different", done.different), ("failed", sum(done.errors.values())),
        ("without a recorded answer", done.uncompared), ("answered that had failed", done.mended),
        ("failed again", done.failing), ("unreadable", done.unreadable),
    )  # fmt: skip
    print_table(("REQUESTS", ""), [(name, str(count)) for name, count in counts if count])
    for kind, count in done.errors.most_common():
        click.echo(f"error: {count} times {printable(kind)}")
    for example in done.examples:
        click.echo(printable(example))
    times = _times(done)
    if times:
        from onnxd.cli.bench_report import seconds_text

        click.echo()
        print_table(
            ("TIME", "RECORDED", "NOW"),
            [
                (name, *("" if each is None else seconds_text(each) for each in (then, now)))
                for name, then, now in times
            ],
        )
        click.echo("whole: recorded within the server, now at this client, from when it was due")
        click.echo(f"sent at most {seconds_text(done.late_s)} after it was due")


def _times(done: "Replayed") -> list[tuple[str, float, float | None]]:
    import numpy as np

    count = len(done.now_s)
    if not count:
        return []
    then, now = np.asarray(done.then_s), np.asarray(done.now_s)
    rows: list[tuple[str, float, float | None]] = [
        (f"whole, p{quantile * 100:g}", float(np.quantile(then, quantile)), float(np.quantile(now, quantile)))
        for quantile in (0.5, 0.99)
    ]
    server = done.server
    rows.append(("queue, mean", done.then_queue_s / count, server.queue_s if server else None))
    rows.append(("compute, mean", done.then_compute_s / count, server.compute_s if server else None))
    return rows


def _document(done: "Replayed") -> dict[str, Any]:
    return {
        "same": done.same,
        "different": done.different,
        "failed": dict(done.errors),
        "uncompared": done.uncompared,
        "mended": done.mended,
        "failed_again": done.failing,
        "unreadable": done.unreadable,
        "examples": done.examples,
        "times": [{"name": name, "recorded_s": then, "now_s": now} for name, then, now in _times(done)],
        "sent_late_most_s": done.late_s,
    }


@contextlib.contextmanager
def _progress(count: int) -> Iterator[Callable[[], None]]:
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, refresh_per_second=2) as progress:
        task = progress.add_task("requests", total=count)
        yield lambda: progress.advance(task)
