"""Settings from a YAML file, such as config/server.yaml: nested by part."""

from pathlib import Path

from onnxd.repository.document import Document, FaultyDocument, render
from onnxd.repository.yaml_document import MAX_BYTES, parse_document
from onnxd.settings.given import Given, decode
from onnxd.settings.table import parts


def from_file(path: Path) -> Given:
    """Never raises for the file's content or its absence: that is a fault like any other."""
    try:
        if not path.is_file():
            return Given(faults=(f"{path}: {_why_no_file(path)}",))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        return Given(faults=(f"{path}: cannot be read: {error.strerror}",))
    try:
        document = parse_document(data, str(path))
    except FaultyDocument as error:
        return Given(faults=tuple(str(error).splitlines()))
    _allow_empty_parts(document)
    values, faults = decode(document)
    origins = {setting: f"{path}:{document.nodes[setting].start.line}" for setting in values}
    return Given(values, origins, tuple(render(str(path), faults).splitlines()))


def _why_no_file(path: Path) -> str:
    if path.is_dir():
        return "expected a file, got a directory"
    return "not a regular file" if path.exists() else "there is no such file"


def _allow_empty_parts(document: Document) -> None:
    """`http:` with every key below it commented out, as in the shipped file, says nothing about http."""
    if not isinstance(document.value, dict):
        return
    for part in parts():
        loc = (part.name,)
        if (
            part.name
            and document.value.get(part.name, ...) is None
            and document.nodes[loc].text in ("", "~", "null")
        ):
            del document.value[part.name]
            document.opaque.discard(loc)
            document.faults[:] = [fault for fault in document.faults if fault.loc != loc]
