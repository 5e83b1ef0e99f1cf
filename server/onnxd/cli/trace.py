"""`onnxd trace`."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from onnxd.cli.completion import model_names
from onnxd.cli.output import print_json, printable
from onnxd.cli.remote import connected, url_option

if TYPE_CHECKING:
    from onnxd_client import Client

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


@click.command("trace")
@click.argument("id")
@click.argument("model", required=False, shell_complete=model_names)
@url_option
@click.option("--json", "as_json", is_flag=True, help="What is known of it as JSON.")
def command(id: str, model: str | None, url: str, as_json: bool) -> None:
    """Show where the time of the request ID went, and the batches that it ran in.

    ID is the request's id, the x-request-id that came with it, or its trace (a whole traceparent will do).
    The server keeps the last slow requests and the last errors of each MODEL; all of them are looked through
    without one. Over HTTP only.
    """
    with connected(url) as client:
        looked_at: list[dict[str, Any]] = list(_kept(client, model))
    traced = _TRACEPARENT.fullmatch(id.lower())
    wanted = {id, traced[1] if traced else id.lower()}
    found = [
        {"model": document["model"], **seen}
        for document in looked_at
        for seen in (*document["slow"], *document["errors"])
        if seen["id"] == id or seen["trace_id"] in wanted
    ]
    if not found:
        raise click.ClickException(_not_kept(id, looked_at))
    # A request that was slow and failed is kept as both; ids may be used more than once.
    found.sort(key=lambda seen: -seen["ended"])
    unique = [seen for at, seen in enumerate(found) if seen not in found[:at]]
    if as_json:
        print_json(unique)
        return
    from onnxd.cli.waterfall import waterfall

    for at, seen in enumerate(unique):
        if at:
            click.echo()
        for line in waterfall(seen["model"], seen):
            click.echo(printable(line))


def _kept(client: "Client", model: str | None) -> Iterator[dict[str, Any]]:
    from onnxd_client import NotFound

    if model is not None:
        yield client.recent(model)
        return
    for name in dict.fromkeys(entry.name for entry in client.repository.index()):
        try:
            yield client.recent(name)
        except NotFound:
            continue  # gone since the index was read


def _not_kept(id: str, looked_at: list[dict[str, Any]]) -> str:
    kept = sum(len(document["slow"]) + len(document["errors"]) for document in looked_at)
    models = f"model '{looked_at[0]['model']}'" if len(looked_at) == 1 else f"{len(looked_at)} models"
    lines = [
        f"no request '{id}' is kept ({kept} of {models} are)",
        "  kept are the last slow and the last failed requests of each model, recent.kept of each;",
        "  slow is what takes longer than recent.slow, or, unset, than 99 of 100 of the model's requests:",
    ]
    for document in looked_at[:8]:
        limit = document["slow_from_us"]
        from_ = f"{limit} µs" if limit is not None else "not known before 100 requests"
        lines.append(f"    {document['model']}: {from_}")
    lines += [
        "  to have every request kept for a while: onnxd serve --recent-slow 0s --recent-kept 1024",
        "  to be told the times with an answer: send it with the header x-onnxd-timing: 1",
    ]
    return printable("\n".join(lines))
