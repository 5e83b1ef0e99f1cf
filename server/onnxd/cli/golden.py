"""`onnxd golden`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxd.cli.completion import model_names
from onnxd.cli.mistake import Mistake
from onnxd.cli.remote import connected, url_option

if TYPE_CHECKING:
    from onnxd.tensors import Array
    from onnxd_client import Client


@click.command("golden")
@click.argument("model", shell_complete=model_names)
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An .npz with an array for each input, by its name.",
)
@click.option(
    "--from-recording",
    "recording",
    type=click.Path(exists=True, path_type=Path),
    help="Instead: what the server's recorder wrote, the newest requests to MODEL.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=1, max=65536),
    default=8,
    show_default=True,
    help="With --from-recording, of a model that batches: rows from several requests, at most.",
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
    source: Path | None,
    recording: Path | None,
    rows: int,
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

    if (source is None) is (recording is None):
        raise Mistake("give the inputs with --from, or with --from-recording")
    with connected(url) as client:
        if recording is not None:
            inputs = _recorded(client, recording, model, version, rows)
        elif source is not None:
            inputs = read_inputs(source)
        result = client.infer(model, inputs, version=version)
    outputs = dict(result.items())
    write_golden(output, inputs, outputs, rtol=rtol, atol=atol)
    click.echo(f"{output}: {', '.join(outputs)} of {result.model_name} version {result.model_version}")


def _recorded(
    client: "Client", recording: Path, model: str, version: int | None, rows: int
) -> "Mapping[str, Array]":
    from onnxd.cli.recorded_samples import stacked
    from onnxd.cli.replay import chosen, readable

    entries = chosen(recording, model, None, None)
    most = int(client.config(model, version).get("max_batch_size") or 0)
    inputs = stacked(readable(entries), min(rows, most) if most else None)
    if not inputs:
        raise Mistake(f"{recording} has no request to '{model}' that can be read")
    return inputs
