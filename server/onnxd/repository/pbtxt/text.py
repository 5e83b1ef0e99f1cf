"""config.pbtxt -> a ModelConfig message and where its fields stand, by protobuf's own text-format parser."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import text_format

from onnxd.errors import LoadFailed
from onnxd.repository.document import Fault, FaultyConfig, Loc, Node, Position, render, shown
from onnxd.repository.fault_codes import Code
from onnxd.repository.pbtxt.places import places_of
from onnxd.repository.typed_document import suggestion
from onnxd.repository.yaml_document import MAX_BYTES
from onnxd_protos import model_config_pb2 as config_pb

_PLACE: Final = re.compile(r"^\d+:\d+ : ")
_ECHO: Final = re.compile(r"^'.*?': ", re.DOTALL)
"""The parser repeats the line that it is on; the place says the same."""
_NO_FIELD: Final = re.compile(r'Message type "([\w.]+)" has no field named "(.*)"\.', re.DOTALL)
_NO_VALUE: Final = re.compile(r'Enum type "([\w.]+)" has no value named (.*)\.', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Stated:
    """A ModelConfig as somebody wrote it."""

    source: str
    """The file's name, or what else messages call it."""
    message: config_pb.ModelConfig
    places: Mapping[Loc, Node] = field(default_factory=dict)


def parse_text(data: bytes, source: str) -> Stated:
    """Raises LoadFailed with line and column of the first fault, where the parser ends."""
    if len(data) > MAX_BYTES:
        raise _failure(source, Position(1, 1), f"larger than {MAX_BYTES // 2**10} KiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        position = Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        raise _failure(source, position, "not UTF-8 text") from error
    message = config_pb.ModelConfig()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        position = Position(error.GetLine() or 1, error.GetColumn() or 1)
        raise _failure(source, position, _explained(str(error))) from error
    return Stated(source, message, places_of(text, message.DESCRIPTOR))


def unknown_field(message_name: str, name: str) -> str:
    """What to say of a field that a message does not have."""
    descriptor = _descriptors().get(message_name)
    known: Iterable[str] = descriptor.fields_by_name if descriptor is not None else ()
    return f"unknown field '{shown(name)}'{_meant(name, known)}"


def unknown_value(enum_name: str, name: str) -> str:
    """What to say of a value that an enumeration does not have."""
    enum = config_pb.ModelConfig.DESCRIPTOR.file.pool.FindEnumTypeByName(enum_name)
    return f"unknown value '{shown(name)}'{_meant(name, enum.values_by_name)}"


def _explained(text: str) -> str:
    text = _ECHO.sub("", _PLACE.sub("", text))
    if match := _NO_FIELD.fullmatch(text):
        return unknown_field(match[1], match[2])
    if match := _NO_VALUE.fullmatch(text):
        return unknown_value(match[1], match[2])
    return text[:1].lower() + text[1:].replace("inference.", "").removesuffix(".")


def _meant(word: str, known: Iterable[str]) -> str:
    names = list(known)
    if nearest := suggestion(word, names):
        return f"; did you mean {nearest}?"
    return f"; expected one of {', '.join(names)}" if names else ""


def _descriptors() -> dict[str, Any]:
    """The message types inside a ModelConfig, by full name."""
    found: dict[str, Any] = {}
    waiting = [config_pb.ModelConfig.DESCRIPTOR]
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name not in found:
            found[descriptor.full_name] = descriptor
            waiting += [each.message_type for each in descriptor.fields if each.message_type is not None]
    return found


def _failure(source: str, position: Position, text: str) -> LoadFailed:
    fault = Fault(position, (), text, Code.PBTXT)
    return FaultyConfig(render(source, [fault]), source, (fault,))
