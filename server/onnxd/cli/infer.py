"""`onnxd infer`."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click

from onnxd.cli.answer import Ranking, answer_document, answer_lines
from onnxd.cli.completion import model_names
from onnxd.cli.images import PixelRange
from onnxd.cli.mistake import Mistake
from onnxd.cli.output import print_json, printable
from onnxd.cli.remote import connected, url_option
from onnxd.cli.sources import collect
from onnxd.cli.wanted import Unfit, Wanted
from onnxd.tensors import Array, Datatype

if TYPE_CHECKING:
    from onnxd_client import Client, InferResult, ModelMetadata, TensorMetadata

_DEFAULT_TOP: Final = 3
_CLASSES: Final = frozenset({"FP32", "FP64"})
"""Datatypes of outputs that may be scores of classes."""


def _pixel_range(ctx: click.Context, param: click.Parameter, value: str | None) -> PixelRange | None:
    if value is None:
        return None
    match = re.fullmatch(r"(-?\d+(?:\.\d+)?):(-?\d+(?:\.\d+)?)", value)
    if match is None:
        raise click.BadParameter(f"expected two numbers such as 0:16, got {value!r}", ctx, param)
    return PixelRange(float(match[1]), float(match[2]))


@click.command("infer")
@click.argument("model", shell_complete=model_names)
@click.argument("inputs", nargs=-1, metavar="[[NAME=]INPUT]...")
@url_option
@click.option(
    "--version", type=click.IntRange(min=1), help="The version to ask; the server's choice without."
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    help=f"Show so many classes. [{_DEFAULT_TOP}, of outputs with labels]",
)
@click.option(
    "--pixels",
    callback=_pixel_range,
    metavar="LOW:HIGH",
    help="The values of black and white; 255:0 inverts. [0:255 for integers, else 0:1]",
)
@click.option("--json", "as_json", is_flag=True, help="The answer as JSON.")
def command(
    model: str,
    inputs: tuple[str, ...],
    url: str,
    version: int | None,
    top: int | None,
    pixels: PixelRange | None,
    as_json: bool,
) -> None:
    """Send INPUT to MODEL and show what it answers.

    INPUT is a file, - for standard input, or the value itself; NAME=INPUT for a model with several inputs.

    \b
    .npy         an array
    .json        lists and numbers, or {"NAME": value, ...}
    PNG, JPEG    for numeric inputs shaped [n*n], [H,W], [C,H,W] or [H,W,C]
    others       UTF-8 text, for BYTES inputs; JSON for the rest
    no file      the text itself, for BYTES inputs; JSON for the rest

    A picture is made grey or RGB as the input has 1 or 3 channels, resized to its height and width
    (not cropped), and its pixels scaled to --pixels. Nothing else is done to it: what a model wants beyond
    that (mean, deviation, other orders of channels), prepare yourself and send as .npy.
    Numbers are converted to the input's datatype, and a single row needs no batch dimension.
    """
    with connected(url) as client:
        metadata = client.metadata(model, version)
        try:
            given = collect(inputs, wanted_inputs(client, metadata, version), pixels)
        except Unfit as error:
            raise Mistake(printable(str(error))) from error
        if not given.values:
            raise Mistake("give an INPUT: a file, - for standard input, or the value itself")
        result, rankings = _ask(client, metadata, given.values, version, top)
    for note in given.notes:
        click.echo(f"note: {printable(note)}", err=True)
    if as_json:
        print_json(answer_document(result, rankings))
    else:
        for line in answer_lines(result, rankings):
            click.echo(line)


def wanted_inputs(client: "Client", metadata: "ModelMetadata", version: int | None) -> dict[str, Wanted]:
    """What the model takes, by input."""
    batches = bool(client.config(metadata.name, version).get("max_batch_size"))
    return {
        tensor.name: Wanted(
            tensor.name, Datatype(tensor.datatype), tensor.shape[1:] if batches else tensor.shape, batches
        )
        for tensor in metadata.inputs
    }


def _ask(
    client: "Client",
    metadata: "ModelMetadata",
    values: Mapping[str, Array],
    version: int | None,
    top: int | None,
) -> tuple["InferResult", Mapping[str, Ranking]]:
    """The answer, and the best classes of each output that has labels; of all that can with --top."""
    result = client.infer(metadata.name, values, version=version)
    classes = {
        tensor.name: min(count, top or _DEFAULT_TOP)
        for tensor in metadata.outputs
        if (count := _classes(tensor)) is not None
    }
    if not classes:
        return result, {}
    # The protocol gives classes in place of values, so it takes a second question; to the same version.
    ranked = client.infer(metadata.name, values, version=result.model_version, classes=classes)
    rankings = {name: ranked.classes(name) for name in classes}
    if top is None:
        return result, {
            name: rows for name, rows in rankings.items() if any(best.label for row in rows for best in row)
        }
    return result, rankings


def _classes(tensor: "TensorMetadata") -> int | None:
    """How many classes an output may have scores of: its last dimension, if that is known and more than 1."""
    if tensor.datatype not in _CLASSES or not tensor.shape or tensor.shape[-1] < 2:
        return None
    return tensor.shape[-1]
