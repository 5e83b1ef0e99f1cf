"""What one source says of the settings: checked values, where each was said, and every fault."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from onnxd.repository.document import Document, Fault, Loc, Node, Position, path_text, shown
from onnxd.repository.typed_document import DocumentType
from onnxd.settings.server_settings import ServerSettings
from onnxd.settings.table import Form, Kind, Setting, SettingPath, settings_by_path

Raw = str | bool | Sequence[str]
"""One setting as a command line or a variable gives it."""

_INTEGER: Final = re.compile(r"[-+]?\d{1,24}")
_TRUTH: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
_SECRET_FAULT: Final = "expected names in lower case, each with a text (NAME=VALUE); what came is not shown"  # noqa: S105 a message


@dataclass(frozen=True, slots=True)
class Given:
    """One source's part of the settings."""

    values: Mapping[SettingPath, object] = field(default_factory=dict)
    origins: Mapping[SettingPath, str] = field(default_factory=dict)
    """Where each value was said: a file's line, a variable, a flag."""
    faults: tuple[str, ...] = ()
    """One line each: where, what was expected, what came."""


@cache
def document_type() -> DocumentType[ServerSettings]:
    """Built on first use: a server that is told nothing needs no schema."""
    return DocumentType(ServerSettings)


def decode(document: Document) -> tuple[dict[SettingPath, object], list[Fault]]:
    """The settings that a document gives, checked, and its faults. A faulty document gives no values."""
    decoded = document_type().decode(document)
    faults = [_without_secrets(fault) for fault in decoded.faults]
    if faults or decoded.value is None:
        return {}, faults
    given = {}
    for path in settings_by_path():
        if path in document.nodes:
            value: Any = decoded.value
            for name in path:
                value = getattr(value, name)
            given[path] = value
    return given, []


def from_words(raw: Mapping[SettingPath, Raw], place: Mapping[SettingPath, str]) -> Given:
    """Settings given as text, by flags or variables; `place` is what faults are told by."""
    document = Document("", {})
    for path, value in raw.items():
        position = Position(1, len(document.nodes) + 1)
        below = document.value
        for name in path[:-1]:
            below = below.setdefault(name, {})
        below[path[-1]] = _plain(settings_by_path()[path], value)
        document.nodes[path] = Node(position, position, value if isinstance(value, str) else "")
    values, faults = decode(document)
    return Given(values, {path: place[path] for path in values}, tuple(_lines(faults, place)))


def setting_at(loc: Loc) -> Setting | None:
    """The setting that a place in a document belongs to."""
    known = settings_by_path()
    for length in range(len(loc), 0, -1):
        path = tuple(str(part) for part in loc[:length])
        if path in known:
            return known[path]
    return None


def _lines(faults: Sequence[Fault], place: Mapping[SettingPath, str]) -> Iterator[str]:
    for fault in sorted(faults, key=lambda fault: fault.position):
        setting = setting_at(fault.loc)
        where = place[setting.path] if setting else ""
        inside = path_text(fault.loc[len(setting.path) :] if setting else fault.loc)
        yield shown(": ".join(filter(None, (where, inside, fault.text))), 1000)


def _without_secrets(fault: Fault) -> Fault:
    setting = setting_at(fault.loc)
    if setting is None or not setting.secret:
        return fault
    return Fault(fault.position, setting.path, _SECRET_FAULT)


def _plain(setting: Setting, raw: Raw) -> Any:
    """Text as the file's reader would have it; what cannot be read stays text, for the schema to refuse."""
    if isinstance(raw, bool):
        return raw
    if setting.form is Form.ONE:
        return _scalar(setting.kind, raw) if isinstance(raw, str) else list(raw)
    items = [item.strip() for item in raw.split(",")] if isinstance(raw, str) else list(raw)
    if setting.form is Form.LIST:
        return [_scalar(setting.kind, item) for item in items]
    if not all("=" in item for item in items):
        return ",".join(items)
    pairs = (item.partition("=") for item in items)
    return {name.strip(): _scalar(setting.kind, text) for name, _, text in pairs}


def _scalar(kind: Kind, text: str) -> Any:
    if kind in (Kind.INTEGER, Kind.SIZE) and _INTEGER.fullmatch(text):
        return int(text)
    if kind is Kind.TRUTH:
        return _TRUTH.get(text.lower(), text)
    if kind is Kind.NUMBER:
        try:
            return float(text)
        except ValueError:
            return text
    return text
