"""`onnxd completion`."""

import os
from typing import TYPE_CHECKING, Final

import click

from onnxd.settings.names import URL_VARIABLE

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_VARIABLE: Final = "_ONNXD_COMPLETE"
"""Click's own name for it, of the program's."""
_PATIENCE_S: Final = 1.0


@click.command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> None:
    """Print what completes commands, options and the names of models in SHELL.

    \b
    bash    eval "$(onnxd completion bash)"            in ~/.bashrc
    zsh     eval "$(onnxd completion zsh)"             in ~/.zshrc
    fish    onnxd completion fish | source             in ~/.config/fish/config.fish

    Names of models are asked of the server of ONNXD_URL, or of --url if it comes before them.
    """
    from click.shell_completion import get_completion_class

    completion = get_completion_class(shell)
    if completion is None:
        raise click.ClickException(f"this version of click has no completion for {shell}")
    group = click.get_current_context().find_root().command
    complete = completion(group, {}, "onnxd", _VARIABLE)
    # Not its source(): that of bash first runs bash, to learn its version.
    click.echo(complete.source_template % complete.source_vars())


def model_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """The names that begin so, of the models that the server has; none while there is no server."""
    from click.shell_completion import CompletionItem

    from onnxd.cli.remote import DEFAULT_URL, client_of
    from onnxd_client import ServerError

    url = ctx.params.get("url") or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    try:
        with client_of(url, deadline_s=_PATIENCE_S) as client:
            names = {entry.name for entry in client.repository.index()}
    except (ServerError, ValueError):
        # Whoever presses Tab has no place for a message.
        return []
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]
