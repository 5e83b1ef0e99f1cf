"""`onnxd explain`."""

import os
from collections.abc import Iterable
from pathlib import Path

import click

from onnxd.cli.mistake import Mistake
from onnxd.cli.output import print_json, print_table
from onnxd.cli.setting_options import SettingsError, config_option
from onnxd.settings.loading import FaultySettings, load_settings


@click.command("explain", params=[config_option()])
@click.argument("model", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--version", type=click.IntRange(min=1), help="The version to look at  [the highest that serves]"
)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_context
def command(
    ctx: click.Context, /, model: Path, version: int | None, config: Path | None, as_json: bool
) -> None:
    """Show the config in force of MODEL, every key, and where each value comes from.

    MODEL is a model's directory, or its name in the repository of the settings. Where a value comes from
    is a line of its config.yaml or config.pbtxt, its graph, the machine, or the default. The exit code
    is 1 for a model that would not be served; `onnxd check` says more about it.
    """
    try:
        loaded = load_settings(config=config, environment=os.environ, flags={})
    except FaultySettings as error:
        raise SettingsError(list(error.faults)) from error

    # Import ONNX Runtime, which --help should not wait for.
    from onnxd.cli.explanation import explain_model
    from onnxd.errors import LoadFailed

    try:
        directory = _directory(model, loaded.settings.model_repository)
        keys = explain_model(directory, version, loaded.settings.trial)
    except LoadFailed as error:
        click.echo(error.message, err=True)
        ctx.exit(1)
    if as_json:
        print_json([each.document() for each in keys])
    else:
        print_table(("KEY", "VALUE", "FROM"), [each.row() for each in keys])


def _directory(model: Path, repositories: Iterable[Path | str]) -> Path:
    """Of a path, or of a name in one of the repositories. Raises Mistake."""
    if model.is_dir():
        return model
    known = [Path(repository) for repository in repositories]
    for repository in known:
        if len(model.parts) == 1 and (repository / model).is_dir():
            return repository / model
    looked = ", ".join(map(str, known))
    raise Mistake(f"'{model}' is no directory, and no model of that name is in the repository ({looked})")
