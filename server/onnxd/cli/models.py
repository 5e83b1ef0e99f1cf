"""`onnxd models`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from onnxd.cli.output import print_json, print_table
from onnxd.cli.remote import connected, url_option

if TYPE_CHECKING:
    from onnxd_client import Client, IndexEntry, ModelMetadata, TensorMetadata


@click.command("models")
@url_option
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def command(url: str, as_json: bool) -> None:
    """List every version of every model: what it takes and gives, its memory, why it does not serve."""
    with connected(url) as client:
        index = client.repository.index()
        metadata = [_metadata(client, entry) for entry in index]
    if as_json:
        print_json([_document(*each) for each in zip(index, metadata, strict=True)])
    elif not index:
        click.echo("The server has no models.")
    else:
        header = ("MODEL", "VERSION", "STATE", "TAKES", "GIVES", "MEMORY", "REASON")
        print_table(header, [_row(*each) for each in zip(index, metadata, strict=True)])


def tensor_text(tensor: "TensorMetadata") -> str:
    """pixels FP32 [-1,64]"""
    return f"{tensor.name} {tensor.datatype} [{','.join(map(str, tensor.shape))}]"


def _metadata(client: "Client", entry: "IndexEntry") -> "ModelMetadata | None":
    from onnxd_client import NotFound, Unavailable

    if entry.state != "READY":
        return None
    try:
        return client.metadata(entry.name, entry.version)
    except (NotFound, Unavailable):
        return None  # unloaded since the index was read


def _row(entry: "IndexEntry", metadata: "ModelMetadata | None") -> tuple[str, ...]:
    takes = _lines(metadata.inputs) if metadata else ""
    gives = _lines(metadata.outputs) if metadata else ""
    state = entry.state or "not loaded"
    return entry.name, entry.version, state, takes, gives, _memory(entry.memory), entry.reason


def _memory(memory: "Mapping[str, int]") -> str:
    """12 MiB, peak 30 MiB; what an unload brought back where that is all there is."""
    from onnxd.units import size_text

    if "resident_bytes" in memory:
        return f"{size_text(memory['resident_bytes'])}, peak {size_text(memory.get('peak_bytes', 0))}"
    return f"{size_text(memory['returned_bytes'])} returned" if "returned_bytes" in memory else ""


def _lines(tensors: "Sequence[TensorMetadata]") -> str:
    return "\n".join(tensor_text(tensor) for tensor in tensors)


def _document(entry: "IndexEntry", metadata: "ModelMetadata | None") -> dict[str, object]:
    document: dict[str, object] = {
        "name": entry.name,
        "version": entry.version,
        "state": entry.state,
        "reason": entry.reason,
        "memory": dict(entry.memory),
    }
    if metadata is not None:
        for key, tensors in (("inputs", metadata.inputs), ("outputs", metadata.outputs)):
            document[key] = [
                {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
                for tensor in tensors
            ]
    return document
