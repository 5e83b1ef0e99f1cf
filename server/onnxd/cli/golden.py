"""`onnxd golden`."""

from pathlib import Path

import click

from onnxd.cli.completion import model_names
from onnxd.cli.remote import connected, url_option


@click.command("golden")
@click.argument("model", shell_complete=model_names)
@click.option(
    "--from",
    "source",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An .npz with an array for each input, by its name.",
)
@click.option("--version", type=click.IntRange(1), help="The version to ask; the highest without it.")
@click.option("--rtol", type=click.FloatRange(0), help="How far numbers may be off, in proportion.")
@click.option("--atol", type=click.FloatRange(0), help="How far they may be off in any case.")
@click.option(
    "--output",
    default="golden.npz",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.",
)
@url_option
def command(
    model: str,
    source: Path,
    version: int | None,
    rtol: float | None,
    atol: float | None,
    output: Path,
    url: str,
) -> None:
    """Ask MODEL, and write its inputs and answers into a file that later versions must match.

    Put the file into a version's directory as golden.npz: a version that answers something else is refused,
    and what serves goes on.
    """
    from onnxd.cli.golden_file import read_inputs, write_golden

    inputs = read_inputs(source)
    with connected(url) as client:
        result = client.infer(model, inputs, version=version)
    outputs = dict(result.items())
    write_golden(output, inputs, outputs, rtol=rtol, atol=atol)
    click.echo(f"{output}: {', '.join(outputs)} of {result.model_name} version {result.model_version}")
