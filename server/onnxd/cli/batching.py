"""`onnxd batching`."""

from typing import Any

import click

from onnxd.cli.completion import model_names
from onnxd.cli.output import print_json, print_table
from onnxd.cli.remote import connected, url_option

_SHOWN = 20


@click.command("batching")
@click.argument("name", shell_complete=model_names)
@click.option("--version", type=int, help="Of these, the highest that serves when left out.")
@url_option
@click.option("--json", "as_json", is_flag=True, help="The same as JSON, with all that is known.")
def command(name: str, version: int | None, url: str, as_json: bool) -> None:
    """Show how requests of the model NAME are put together, and why its batches were no bigger.

    Asked over HTTP. docs/batching.md says what the words of the last table mean.
    """
    with connected(url) as client:
        report = client.batching(name, version)
    if as_json:
        print_json(report)
        return
    click.echo(f"{report['name']} version {report['version']}: {_policy(report)}")
    if report["queue"]["waiting"]:
        waiting = [_waiting(row) for row in report["queue"]["waiting"][:_SHOWN]]
        print_table(("WAITING", "PRIORITY", "REQUESTS", "ROWS", "OLDEST"), waiting)
    if report["buckets"]:
        buckets = [_bucket(row) for row in report["buckets"][:_SHOWN]]
        print_table(("REQUESTS", "RUNS", "RUNS TAKE", "NEXT BATCH AT MOST"), buckets)
    cut = {reason: count for reason, count in report["cuts"].items() if count}
    if cut:
        print_table(("BATCHES", "CUT"), [(str(count), reason) for reason, count in cut.items()])
    if report["batches"]:
        batches = [_batch(row) for row in report["batches"][:_SHOWN]]
        print_table(("LAST BATCHES", "ROWS", "REQUESTS", "CUT", "TOOK", "AGO"), batches)


def _policy(report: dict[str, Any]) -> str:
    policy, instances, queue = report["policy"], report["instances"], report["queue"]
    if policy["max_batch_size"] and policy["dynamic"]:
        batches = f"batches of up to {policy['max_batch_size']} rows"
        if policy["max_queue_delay_s"]:
            batches += f", held back for up to {_time(policy['max_queue_delay_s'])}"
    else:
        batches = "requests run one by one"
    busy = f"{instances['busy']} of {instances['count']} instances busy"
    return f"{batches}; {busy}, {queue['requests']} requests of {queue['rows']} rows wait"


def _waiting(row: dict[str, Any]) -> tuple[str, ...]:
    delayed = " (delayed)" if row["delayed"] else ""
    priority = f"{row['priority']}{delayed}"
    return row["bucket"], priority, str(row["requests"]), str(row["rows"]), _time(row["oldest_s"])


def _bucket(row: dict[str, Any]) -> tuple[str, ...]:
    fit, cap = row["fit"], row["cap"]
    takes = f"{_time(fit['base_s'])} + {_time(fit['per_row_s'])} a row"
    takes += f", within {fit['error']:.0%}" if fit["good"] else ", roughly"
    return row["bucket"], str(row["runs"]), takes, f"{cap['rows']} rows ({cap['reason']})"


def _batch(row: dict[str, Any]) -> tuple[str, ...]:
    outcome = (" (failed)" if row["failed"] else "") + (" (run again)" if row["again"] else "")
    size = (str(row["rows"]), str(row["requests"]))
    return row["bucket"], *size, f"{row['cut']}{outcome}", _time(row["run_s"]), _time(row["ended_s"])


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
