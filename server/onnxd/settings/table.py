"""The one table of settings: name, flag, variable, type, default and help, walked from ServerSettings."""

import enum
import types
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BeforeValidator

from onnxd.settings.docstrings import class_doc, field_docs
from onnxd.settings.names import VARIABLE_PREFIX
from onnxd.settings.server_settings import ServerSettings
from onnxd.units import parse_duration_s, parse_size_bytes

SettingPath = tuple[str, ...]
"""Where a setting lives: ("http", "port")."""


class Kind(enum.Enum):
    """What one value is, in the words of the documentation."""

    TEXT = "text"
    PATH = "path"
    INTEGER = "integer"
    NUMBER = "number"
    TRUTH = "true or false"
    DURATION = "duration"
    SIZE = "size"
    CHOICE = "one of"


class Form(enum.Enum):
    """How many values there are."""

    ONE = "one"
    LIST = "list"
    MAPPING = "mapping"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as every source and every page names it."""

    path: SettingPath
    kind: Kind
    form: Form
    choices: tuple[str, ...]
    default: object
    doc: str
    secret: bool
    """Its value is never shown. A field that its dataclass keeps out of its repr is one."""

    @property
    def name(self) -> str:
        """As in the file, with dots: http.port."""
        return ".".join(self.path)

    @property
    def part(self) -> str:
        """The part of the server that it belongs to; "" for the server as a whole."""
        return self.path[0] if len(self.path) > 1 else ""

    @property
    def flag(self) -> str:
        return "--" + "-".join(self.path).replace("_", "-")

    @property
    def negative_flag(self) -> str | None:
        """The flag that says no, for a setting that is true or false."""
        return f"--no-{self.flag[2:]}" if self.kind is Kind.TRUTH else None

    @property
    def variable(self) -> str:
        return VARIABLE_PREFIX + "_".join(self.path).upper()


@dataclass(frozen=True, slots=True)
class Part:
    """A section of the file and of the help."""

    name: str
    """The section's key; "" for the settings at the top of the file."""
    doc: str
    settings: tuple[Setting, ...]


@cache
def parts() -> tuple[Part, ...]:
    """All settings by part, in the order of the dataclasses. The top of the file comes first."""
    defaults = ServerSettings()
    everything = tuple(_walk(ServerSettings, defaults, ()))
    top = Part("", "The server as a whole.", tuple(each for each in everything if not each.part))
    sections = []
    for field in fields(ServerSettings):
        value = getattr(defaults, field.name)
        if is_dataclass(value):
            own = tuple(each for each in everything if each.part == field.name)
            sections.append(Part(field.name, class_doc(type(value)), own))
    return (top, *sections)


@cache
def settings_by_path() -> dict[SettingPath, Setting]:
    """Every setting, in the table's order."""
    return {each.path: each for part in parts() for each in part.settings}


def _walk(cls: type, defaults: Any, prefix: SettingPath) -> Iterator[Setting]:
    hints = get_type_hints(cls, include_extras=True)
    docs = field_docs(cls)
    for field in fields(cls):
        path = (*prefix, field.name)
        default = getattr(defaults, field.name)
        if is_dataclass(default):
            yield from _walk(type(default), default, path)
            continue
        kind, form, choices = _type_of(path, hints[field.name])
        yield Setting(path, kind, form, choices, default, docs.get(field.name, ""), not field.repr)


def _type_of(path: SettingPath, hint: Any) -> tuple[Kind, Form, tuple[str, ...]]:
    bare, metadata = _stripped(hint)
    origin = get_origin(bare)
    if origin is tuple:
        kind, _, choices = _type_of(path, get_args(bare)[0])
        return kind, Form.LIST, choices
    if origin is dict:
        kind, _, choices = _type_of(path, get_args(bare)[1])
        return kind, Form.MAPPING, choices
    if origin is Literal:
        return Kind.CHOICE, Form.ONE, get_args(bare)
    validators = [item.func for item in metadata if isinstance(item, BeforeValidator)]
    if parse_duration_s in validators:
        return Kind.DURATION, Form.ONE, ()
    if parse_size_bytes in validators:
        return Kind.SIZE, Form.ONE, ()
    if bare not in _KINDS:
        raise TypeError(f"setting {'.'.join(path)} has a type that no flag can take: {hint}")
    return _KINDS[bare], Form.ONE, ()


_KINDS: Final[dict[Any, Kind]] = {
    bool: Kind.TRUTH,
    int: Kind.INTEGER,
    float: Kind.NUMBER,
    str: Kind.TEXT,
    Path: Kind.PATH,
}


def _stripped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without `Annotated` and `| None`, and what was annotated."""
    metadata: tuple[Any, ...] = ()
    while True:
        if get_origin(hint) is Annotated:
            hint, *more = get_args(hint)
            metadata = (*metadata, *more)
        elif get_origin(hint) in (Union, types.UnionType):
            items = [item for item in get_args(hint) if item is not type(None)]
            hint = Path if {*items} == {Path, str} else items[0]  # a directory or a URL: a path to people
        else:
            return hint, metadata
