"""`onnxd check`."""

import os
from pathlib import Path

import click

from onnxd.cli.check_report import CheckReport
from onnxd.cli.output import print_json, print_table
from onnxd.cli.setting_options import SettingsError, config_option
from onnxd.settings.loading import FaultySettings, load_settings


@click.command("check", params=[config_option()])
@click.argument("repository", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@click.pass_context
def command(ctx: click.Context, /, repository: tuple[Path, ...], config: Path | None, as_json: bool) -> None:
    """Validate REPOSITORY (the configured one without it) offline: layout, configs, and every version.

    Each version is built and run once in a child process, under the limits of the trial.* settings, as a
    server would before it serves it. The exit code is 1 if anything would not be served.
    """
    try:
        loaded = load_settings(config=config, environment=os.environ, flags={})
    except FaultySettings as error:
        raise SettingsError(list(error.faults)) from error

    # Imports ONNX Runtime, which --help should not wait for.
    from onnxd.cli.examination import examine_repository

    roots = repository or loaded.settings.model_repository
    report = examine_repository(roots, loaded.settings.trial)
    if as_json:
        print_json(report.document())
    else:
        _print(report)
    ctx.exit(0 if report.sound else 1)


def _print(report: CheckReport) -> None:
    if report.verdicts:
        print_table(("MODEL", "VERSION", "VERDICT", ""), [verdict.row() for verdict in report.verdicts])
    for problem in report.problems:
        click.echo(problem)
    for warning in report.warnings:
        click.echo(f"note: {warning}")
    faults = sum(not verdict.sound for verdict in report.verdicts) + len(report.problems)
    count = len(report.verdicts)
    click.echo(f"{count} checked, {'no faults' if not faults else f'{faults} at fault'}.")
