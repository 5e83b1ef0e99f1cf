"""How values are written: in the file, in the documentation, and by `onnxd settings`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from onnxd.settings.table import Form, Kind, Setting
from onnxd.units import bytes_of, duration

HIDDEN: Final = "(not shown)"
UNSET: Final = "unset"

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-")
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "none"})


def shown(setting: Setting, value: object) -> str:
    """A value for people to read: what is secret is hidden, what is not set says so."""
    if setting.secret and value:
        names = value if isinstance(value, Mapping) else ()
        return ", ".join(f"{name}: {HIDDEN}" for name in names) or HIDDEN
    return UNSET if value is None else written(setting, value)


def as_words(setting: Setting, value: object) -> str:
    """A value as a flag or a variable takes it: text without quotes, lists with commas."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value) if isinstance(value, str | Path) else written(setting, value)


def written(setting: Setting, value: object) -> str:
    """A value as config/server.yaml takes it. `None` is written as nothing."""
    if value is None:
        return ""
    if setting.form is Form.LIST and isinstance(value, tuple):
        return "[" + ", ".join(_one(setting.kind, item) for item in value) + "]"
    if setting.form is Form.MAPPING and isinstance(value, Mapping):
        items = (f"{_text(str(key))}: {_one(setting.kind, item)}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    return _one(setting.kind, value)


def _one(kind: Kind, value: object) -> str:
    match kind, value:
        case Kind.TRUTH, bool(truth):
            return "true" if truth else "false"
        case Kind.DURATION, float(seconds):
            return duration(seconds)
        case Kind.SIZE, int(size):
            return bytes_of(size)
        case _, str() | Path():
            return _text(str(value))
    return str(value)


def _text(text: str) -> str:
    """Plain where YAML reads it as text anyway, else in double quotes (JSON's are YAML's)."""
    plain = bool(text) and _PLAIN.issuperset(text) and text[0].isalpha() and text.lower() not in _WORDS
    return text if plain else json.dumps(text)
