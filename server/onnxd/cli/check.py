"""`onnxd check`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxd.cli.mistake import Mistake
from onnxd.cli.output import print_json, print_table, printable
from onnxd.cli.setting_options import SettingsError, config_option
from onnxd.repository.object_store.url import directories
from onnxd.settings.loading import FaultySettings, load_settings

if TYPE_CHECKING:
    from onnxd.cli.check_report import CheckReport
    from onnxd.cli.config_mending import MendedFile


@click.command("check", params=[config_option()])
@click.argument("repository", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The same as JSON (config/check.schema.json).")
@click.option("--fix", is_flag=True, help="Write what is certain into config.yaml, and show it.")
@click.pass_context
def command(
    ctx: click.Context, /, repository: tuple[Path, ...], config: Path | None, as_json: bool, fix: bool
) -> None:
    """Validate REPOSITORY (the configured one without it) offline: layout, configs, and every version.

    Each version is built and run once in a child process, under the limits of the trial.* settings, as a
    server would before it serves it. The exit code is 0 if everything would be served, 1 if anything would
    not (with --fix: is still left to mend), 2 for a mistake in the command.
    """
    try:
        loaded = load_settings(config=config, environment=os.environ, flags={})
    except FaultySettings as error:
        raise SettingsError(list(error.faults)) from error

    # Import ONNX Runtime, which --help should not wait for.
    from onnxd.cli.config_mending import mend_file
    from onnxd.cli.examination import examine_repository

    roots = repository or directories(loaded.settings.model_repository)
    if not roots:
        raise Mistake(
            "the repository lies in an object store, and nothing is downloaded here; name a directory "
            "that has the same files"
        )
    limits, batching = loaded.settings.trial, loaded.settings.batching
    single_model = loaded.settings.single_model_name or ""
    report = examine_repository(roots, limits, batching, single_model)
    mended = [each for faulty in report.faulty_files if (each := mend_file(faulty))] if fix else []
    if any(not each.left_alone for each in mended):
        report = examine_repository(roots, limits, batching, single_model)
    if as_json:
        document = report.document()
        print_json(document | {"fixed": [each.document() for each in mended]} if fix else document)
    else:
        _print_mended(mended)
        _print(report)
    ctx.exit(0 if report.sound else 1)


def _print_mended(mended: "Sequence[MendedFile]") -> None:
    for each in mended:
        if each.left_alone:
            click.echo(f"{each.path} is not changed: {each.left_alone}", err=True)
        else:
            click.echo("".join(f"{printable(line)}\n" for line in each.diff.splitlines()))


def _print(report: "CheckReport") -> None:
    if report.verdicts:
        print_table(("MODEL", "VERSION", "VERDICT", ""), [verdict.row() for verdict in report.verdicts])
    for finding in report.findings:
        if not finding.code.is_note:
            for line in finding.lines():
                click.echo(printable(line))
    for warning in report.warnings:
        click.echo(f"note: {warning}")
    faults = sum(not verdict.sound for verdict in report.verdicts) + len(report.problems)
    count = len(report.verdicts)
    click.echo(f"{count} checked, {'no faults' if not faults else f'{faults} at fault'}.")
