"""Reading a model's config.yaml: every fault of the file in one error, with line and column."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from onnxd.errors import LoadFailed
from onnxd.repository.config import ModelConfig
from onnxd.repository.config_rules import contradictions
from onnxd.repository.document import Document, Fault, FaultyDocument, Loc, path_text
from onnxd.repository.typed_document import DocumentType, within
from onnxd.repository.yaml_document import MAX_BYTES, parse_document
from onnxd_protos import model_config_pb2 as config_pb

CONFIG_FILE_NAME: Final = "config.yaml"


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A config, and where its keys stand, for what can only be said once the graph is known."""

    config: ModelConfig
    document: Document = field(default_factory=lambda: Document(CONFIG_FILE_NAME), compare=False)
    warnings: tuple[str, ...] = ()
    """What was read and has no effect, a line each."""
    stated: config_pb.ModelConfig | None = field(default=None, compare=False)
    """What was read, where it was Triton's form; never changed."""

    def failure(self, problems: list[tuple[Loc, str]]) -> LoadFailed:
        """The error that lists problems, each at its place in the file."""
        if not self.document.nodes:  # there is no file, so there are no lines
            return LoadFailed("\n".join(text for _, text in problems))
        return LoadFailed(self.document.render(self.document.fault(*problem) for problem in problems))

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
        raise LoadFailed(str(error)) from error
    return LoadedConfig(decode(document), document)


def decode(document: Document) -> ModelConfig:
    """The config that a document in config.yaml's form holds. Raises LoadFailed with every fault."""
    decoded = document_type().decode(document)
    faults = list(decoded.faults)
    if decoded.value is not None:
        faults += _contradicting(decoded.value, document, decoded.dropped)
        if not faults:
            return decoded.value
    raise LoadFailed(document.render(faults))


@cache
def document_type() -> DocumentType[ModelConfig]:
    """Built on first use: building the schema takes milliseconds that an import should not."""
    return DocumentType(ModelConfig)


def _contradicting(config: ModelConfig, document: Document, dropped: frozenset[Loc]) -> list[Fault]:
    """The contradictions between keys, but for those with a key that is faulty anyway."""
    return [
        document.fault(found.loc, found.text)
        for found in contradictions(config)
        if not within(found.other, dropped)
    ]
