"""`onnxd rollback`."""

import click

from onnxd.cli.completion import model_names
from onnxd.cli.load import serving_text
from onnxd.cli.remote import connected, url_option


@click.command("rollback")
@click.argument("name", shell_complete=model_names)
@url_option
def command(name: str, url: str) -> None:
    """Serve again what the model NAME served before, from the server's own copy.

    Its files need not be there any more. Those that are there are not loaded again before they change or
    somebody loads the model; a second rollback takes the first one back. If it cannot be done, the reason is
    printed, the exit code is 1, and what serves goes on.
    """
    with connected(url) as client:
        client.repository.rollback(name)
        text = serving_text(client, name)
    click.echo(f"Rolled back: {text}")
