"""Reading a model's config.yaml: every fault of the file in one error, with line and column."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from onnxd.errors import LoadFailed
from onnxd.repository.config import ModelConfig
from onnxd.repository.config_rules import contradictions
from onnxd.repository.document import Document, Fault, FaultyConfig, FaultyDocument, Loc, path_text
from onnxd.repository.fault_codes import Code
from onnxd.repository.mends import Mend
from onnxd.repository.typed_document import Decoded, DocumentType, within
from onnxd.repository.yaml_document import MAX_BYTES, parse_document
from onnxd_protos import model_config_pb2 as config_pb

CONFIG_FILE_NAME: Final = "config.yaml"
_building: Final = threading.Lock()


class Problem(NamedTuple):
    """What is wrong with a config, as far as Document.fault wants to know."""

    loc: Loc
    text: str
    code: Code = Code.DISAGREEMENT
    mend: Mend = ()
    graph: str = ""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A config, and where its keys stand, for what can only be said once the graph is known."""

    config: ModelConfig
    document: Document = field(default_factory=lambda: Document(CONFIG_FILE_NAME), compare=False)
    warnings: tuple[str, ...] = ()
    """What was read and has no effect, a line each."""
    stated: config_pb.ModelConfig | None = field(default=None, compare=False)
    """What was read, where it was Triton's form; never changed."""

    def failure(self, problems: Sequence[tuple[Loc, str] | Problem]) -> FaultyConfig:
        """The error that lists problems, each at its place in the file."""
        document = self.document
        faults = [document.fault(*Problem(*problem)) for problem in problems]
        if document.nodes:
            return faulty(document, faults)
        # There is no file, so there are no lines.
        return FaultyConfig("\n".join(fault.text for fault in faults), "", tuple(faults))

    def name(self, key: str) -> str:
        """What the file calls a key of config.yaml."""
        return path_text(self.document.written((key,)))


BARE: Final = LoadedConfig(ModelConfig())
"""The config of a model without config.yaml."""


def read_model_config(path: Path) -> LoadedConfig:
    """Read a file. Raises LoadFailed with all of its faults, one a line, in the file's order."""
    return parse_model_config(read_config_file(path), path.name)


def read_config_file(path: Path) -> bytes:
    """At most one byte more than a config may have. Raises LoadFailed."""
    try:
        if not path.is_file():  # a FIFO would block the reader
            raise LoadFailed(f"{path.name} is not a file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LoadFailed(f"{path.name} cannot be read: {error.strerror}") from error


def parse_model_config(data: bytes, source: str = CONFIG_FILE_NAME) -> LoadedConfig:
    """The same, of bytes; `source` is the file's name in messages."""
    try:
        document = parse_document(data, source)
    except FaultyDocument as error:
        raise FaultyConfig(str(error), source, error.faults) from error
    return LoadedConfig(decode(document), document)


def decode(document: Document) -> ModelConfig:
    """The config that a document in config.yaml's form holds. Raises LoadFailed with every fault."""
    decoded = document_type().decode(document)
    faults = [*decoded.faults, *contradicting(decoded, document)]
    if decoded.value is not None and not faults:
        return decoded.value
    raise faulty(document, faults)


def faulty(document: Document, faults: Iterable[Fault]) -> FaultyConfig:
    """The error that lists these faults of a document."""
    ordered = sorted(faults, key=lambda fault: fault.position)
    written = tuple(replace(fault, loc=document.written(fault.loc)) for fault in ordered)
    return FaultyConfig(document.render(ordered), document.source, written)


def document_type() -> DocumentType[ModelConfig]:
    """Built on first use, which takes milliseconds that an import should not; and by one thread while others
    wait: models load side by side, and Python's `ast`, which reads the docstrings, fails in two at once."""
    with _building:
        return _document_type()


@cache
def _document_type() -> DocumentType[ModelConfig]:
    return DocumentType(ModelConfig)


def contradicting(decoded: Decoded[ModelConfig], document: Document) -> list[Fault]:
    """The contradictions between keys, but for those with a key that is faulty anyway."""
    if decoded.value is None:
        return []
    return [
        document.fault(found.loc, found.text, found.code, found.mend)
        for found in contradictions(decoded.value)
        if not within(found.other, decoded.dropped)
    ]
