"""`onnxd placement`."""

from typing import Any

import click

from onnxd.cli.completion import model_names
from onnxd.cli.output import print_json, print_table
from onnxd.cli.remote import connected, url_option

_SHOWN = 20


@click.command("placement")
@click.argument("name", shell_complete=model_names)
@click.option("--version", type=int, help="Of these, the highest that serves when left out.")
@url_option
@click.option("--json", "as_json", is_flag=True, help="The same as JSON, with all nodes.")
def command(name: str, version: int | None, url: str, as_json: bool) -> None:
    """Show which nodes of the model NAME run on which provider, and their share of its time.

    Asked over HTTP. The server profiles the model in a process beside it, once for each version.
    """
    with connected(url) as client:
        report = client.placement(name, version)
    if as_json:
        print_json(report)
        return
    click.echo(
        f"{report['model_name']} version {report['model_version']}: "
        f"{report['run_us'] / 1000:.3g} ms in its nodes, over {report['runs']} profiled runs"
    )
    print_table(("PROVIDER", "NODES", "SHARE"), [_provider(each) for each in report["providers"]])
    print_table(("NODE", "OPERATOR", "PROVIDER", "SHARE"), [_node(each) for each in report["nodes"][:_SHOWN]])
    left = len(report["nodes"]) + report["nodes_left_out"] - _SHOWN
    if left > 0:
        click.echo(f"and {left} nodes more")


def _provider(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["provider"], str(row["nodes"]), f"{row['share']:.1%}"


def _node(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return row["name"], row["operator"], row["provider"], f"{row['share']:.1%}"
