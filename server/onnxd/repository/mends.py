"""How a fault of a YAML file is mended, as changes at places of the document.

A fault has a mend only where there is no doubt about what was meant; whether the file can be changed there
without loss is for yaml_edit.py to say.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

_Loc = tuple[str | int, ...]

_CERTAIN: Final = 0.8
"""How alike two words must be for one to be a misspelling of the other."""
_APART: Final = 0.05
"""How much less alike the next best must be."""
_MAX_COMPARED: Final = 64
"""Characters that are worth comparing: difflib's time grows with their square."""


@dataclass(frozen=True, slots=True)
class Rename:
    """Give a key its right name."""

    loc: _Loc
    key: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Give a key, or an item of a list, another value."""

    loc: _Loc
    value: Any
    """Text, a number, a truth value, or a list of them."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Put a value in quotes as it is written, so that YAML reads it as the text that it should be."""

    loc: _Loc


@dataclass(frozen=True, slots=True)
class Remove:
    """Leave out a key, or an item of a list."""

    loc: _Loc


Edit = Rename | Replace | Quote | Remove
Mend = tuple[Edit, ...]
"""All of them together, or none; () = nothing is certain."""


def meant(word: str, known: Iterable[str]) -> str | None:
    """The one known word that this must be a misspelling of; None if that is not certain."""
    by_lower = {name.lower(): name for name in known}
    lower = word.lower()
    if len(word) > _MAX_COMPARED:
        return None
    if lower in by_lower:
        return by_lower[lower]
    alike = sorted(
        ((difflib.SequenceMatcher(None, name, lower).ratio(), name) for name in by_lower), reverse=True
    )[:2]
    if not alike or alike[0][0] < _CERTAIN or (len(alike) > 1 and alike[0][0] - alike[1][0] < _APART):
        return None
    return by_lower[alike[0][1]]
