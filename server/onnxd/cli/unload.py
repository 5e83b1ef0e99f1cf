"""`onnxd unload`."""

import click

from onnxd.cli.completion import model_names
from onnxd.cli.remote import connected, url_option


@click.command("unload")
@click.argument("name", shell_complete=model_names)
@url_option
def command(name: str, url: str) -> None:
    """Stop serving the model NAME; the requests it is working on are finished.

    It stays unloaded until its files change or somebody loads it. A name that is not served is no error.
    """
    with connected(url) as client:
        client.repository.unload(name)
    click.echo(f"{name} is not served any more.")
