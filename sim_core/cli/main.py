"""The commands."""

from importlib import import_module
from typing import Any, Final

import click

from sim_core.errors import SimulationError

COMMANDS: Final = {
    "play": "sim_core.cli.play",
    "tournament": "sim_core.cli.tournament",
    "watch": "sim_core.cli.watch",
    "analyze": "sim_core.scripts.analyze_replays",
    "health": "sim_core.scripts.summarize_final_health",
    "matches": "sim_core.scripts.summarize_match_details",
    "soak": "sim_core.soak.command",
}
"""The module of each, which holds it as `command`."""


class _Commands(click.Group):
    """A command is imported when it is asked for: `--help` need not wait for the libraries of all."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name]).command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SimulationError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands)
def cli() -> None:
    """Matches played by policies that onnxd serves."""
