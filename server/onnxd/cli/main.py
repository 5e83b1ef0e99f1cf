"""The group of commands. A command's module is imported when it runs, so that each pays for itself only."""

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

import click

from onnxd.cli.mistake import Mistake


@dataclass(frozen=True, slots=True)
class _Command:
    module: str
    help: str
    """For the list of commands; the command's own help says more."""
    without: tuple[str, ...] = ()
    """What is not to be imported with it."""


COMMANDS: Final[Mapping[str, _Command]] = {
    # Structlog imports rich for tracebacks in colour, which the server's log does not have: 4 MiB, for good.
    "serve": _Command("onnxd.cli.serve", "Serve a model repository over HTTP and gRPC.", without=("rich",)),
    "check": _Command("onnxd.cli.check", "Validate a model repository without a server."),
    "explain": _Command("onnxd.cli.explain", "Show a model's config in force, and where each value is from."),
    "manifest": _Command("onnxd.cli.manifest", "Write down what files a model consists of."),
    "golden": _Command("onnxd.cli.golden", "Write down what a model answers, for later versions to match."),
    "convert": _Command("onnxd.cli.convert", "Turn Triton's config.pbtxt into config.yaml."),
    "settings": _Command("onnxd.cli.settings", "Show the settings in force, and where each comes from."),
    "models": _Command("onnxd.cli.models", "List the models of a running server."),
    "top": _Command("onnxd.cli.top", "Watch what a running server does, live."),
    "bench": _Command("onnxd.cli.bench", "Measure how fast a model of a running server answers."),
    "trace": _Command("onnxd.cli.trace", "Show where the time of one request went."),
    "replay": _Command("onnxd.cli.replay", "Send recorded requests again, and compare."),
    "placement": _Command("onnxd.cli.placement", "Show which nodes of a model run on which provider."),
    "batching": _Command("onnxd.cli.batching", "Show how a model's requests are put together, and why."),
    "infer": _Command("onnxd.cli.infer", "Send an image, an array, JSON or text to a model."),
    "keys": _Command("onnxd.cli.keys", "Make, list and revoke API keys."),
    "load": _Command("onnxd.cli.load", "Load a model, or load again what has changed of it."),
    "rollback": _Command("onnxd.cli.rollback", "Go back to what a model served before."),
    "unload": _Command("onnxd.cli.unload", "Stop serving a model."),
    "completion": _Command("onnxd.cli.completion", "Print what completes these commands in a shell."),
}


@contextmanager
def _kept_out(names: Iterable[str]) -> Iterator[None]:
    """Inside, these cannot be imported: for libraries that would rather have them, but need not."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None is how Python spells it
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


class LazyGroup(click.Group):
    """A group whose commands are the attribute `command` of the modules in COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        with _kept_out(COMMANDS[cmd_name].without):
            command = importlib.import_module(COMMANDS[cmd_name].module).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name].module}.command is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            nearest = get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"the commands are {', '.join(COMMANDS)}"
            raise Mistake(f"unknown command '{name}'; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The inherited one would import every command to learn its help.
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])


@click.group("onnxd", cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="onnxd", prog_name="onnxd")
def cli() -> None:
    """Serve ONNX models: drop a file into a directory, get a KServe v2 (Triton) endpoint.

    Start with `onnxd serve`, then try `onnxd models` and `onnxd infer` in another terminal.
    """
