"""`onnxd convert`."""

from pathlib import Path

import click

from onnxd.cli.mistake import Mistake


@click.command("convert")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--write", is_flag=True, help="Write config.yaml beside config.pbtxt instead of printing it.")
@click.pass_context
def command(ctx: click.Context, /, directory: Path, write: bool) -> None:
    """Turn the config.pbtxt of Triton in DIRECTORY, a model's or a repository's, into config.yaml.

    What has no counterpart is named in a comment. The server reads config.pbtxt as it is; of the two,
    config.yaml counts. The exit code is 1 if any config cannot be served.
    """
    # Imports ONNX Runtime, which --help should not wait for.
    from onnxd.cli.conversion import conversions

    found = conversions(directory)
    if not found:
        raise Mistake(f"{directory} has no config.pbtxt, nor has any directory in it")
    for each in found:
        if each.fault:
            click.echo(each.fault, err=True)
        elif write:
            each.write()
            click.echo(each.target)
        else:
            click.echo(f"# {each.target}\n{each.text}", nl=False)
    ctx.exit(1 if any(each.fault for each in found) else 0)
