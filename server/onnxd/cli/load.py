"""`onnxd load`."""

from typing import TYPE_CHECKING

import click

from onnxd.cli.completion import model_names
from onnxd.cli.remote import connected, url_option

if TYPE_CHECKING:
    from onnxd_client import Client


@click.command("load")
@click.argument("name", shell_complete=model_names)
@url_option
def command(name: str, url: str) -> None:
    """Load the model NAME from the server's repository, or load again what has changed of it.

    Returns when it serves. If it cannot be loaded, the reason is printed, the exit code is 1, and what
    served before keeps serving.
    """
    with connected(url) as client:
        client.repository.load(name)
        text = serving_text(client, name)
    click.echo(text)


def serving_text(client: "Client", name: str) -> str:
    """Which versions of a model serve."""
    ready = [
        entry.version for entry in client.repository.index() if entry.name == name and entry.state == "READY"
    ]
    versions = "version" if len(ready) == 1 else "versions"
    return f"{name} serves {versions} {', '.join(ready)}." if ready else f"{name} is loaded."
