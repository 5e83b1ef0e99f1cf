"""Where each field of a text-format message stands.

The official parser keeps no positions. Text that it has taken is walked here once more, by the same
descriptors, for its positions only: nothing of its values comes from here. What this walk does not understand
has no position; it never raises.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Final

from onnxd.repository.document import Loc, Node, Position

_TOKEN: Final = re.compile(
    r"""(?P<skip>[\s;]+|\#[^\n]*)"""
    r"""|(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')"""
    r"""|(?P<mark>[{}<>\[\]:,])"""
    r"""|(?P<word>[^\s{}<>\[\]:,;"'\#]+)""",
    re.DOTALL,
)
_CLOSING: Final = {"{": "}", "<": ">"}

_Token = tuple[str, str, int]
"""Kind, text, offset."""


def places_of(text: str, descriptor: Any) -> dict[Loc, Node]:
    """Fields by the message's names; repeated ones are numbered, entries of maps are named by their key."""
    walk = _Walk(text)
    with contextlib.suppress(_LostError):
        walk.message(descriptor, (), "")
    return walk.places


class _LostError(Exception):
    """The text is not what the walk expects."""


class _Walk:
    def __init__(self, text: str) -> None:
        self.places: dict[Loc, Node] = {}
        self._seen: list[Loc] = []
        """The values in the text's order: those of an entry are the last ones when it ends."""
        self._tokens = _tokens(text)
        self._next = next(self._tokens, None)
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self._line = 0

    def message(self, descriptor: Any, loc: Loc, closing: str) -> None:
        counts: dict[str, int] = {}
        while self._next is not None and self._next[1] != closing:
            _, name, offset = self._take()
            field = descriptor.fields_by_name.get(name)
            if field is None:
                raise _LostError
            start = self._position(offset)
            self._skip(":")
            if self._is("["):
                self._take()
                while not self._is("]"):
                    self._value(field, loc, start, counts)
                    self._skip(",")
                self._take()
            else:
                self._value(field, loc, start, counts)
            self._skip(",")

    def _value(self, field: Any, loc: Loc, start: Position, counts: dict[str, int]) -> None:
        here: Loc = (*loc, field.name)
        if field.is_repeated:
            self.places.setdefault(here, Node(start, start))
            number = counts[field.name] = counts.get(field.name, -1) + 1
            here = (*here, number)
        kind, text, offset = self._take()
        value = self._position(offset)
        inside = len(self._seen)
        self._seen.append(here)
        self.places[here] = Node(start if not field.is_repeated else value, value, text)
        if field.message_type is not None:
            if text not in _CLOSING:
                raise _LostError
            self.message(field.message_type, here, _CLOSING[text])
            if self._next is None:
                raise _LostError
            self._take()
            if field.message_type.GetOptions().map_entry:
                self._name_entry(here, self._seen[inside:])
        elif kind == "text":
            while self._next is not None and self._next[0] == "text":  # neighbours are one string
                self._take()

    def _name_entry(self, here: Loc, inside: list[Loc]) -> None:
        """`parameters { key: "a" value { ... } }` is the place of parameters.a; a lone text stands for it."""
        key = self.places.get((*here, "key"))
        if key is None or "\\" in key.text:
            return
        named: Loc = (*here[:-1], key.text.strip("\"'"))
        for loc in inside:
            rest = loc[len(here) :]
            if rest[:1] != ("key",):
                self.places[(*named, *(rest[1:] if rest[:1] == ("value",) else rest))] = self.places[loc]
        self.places[named] = self.places.get((*here, "value", "string_value"), self.places[here])

    def _take(self) -> _Token:
        if self._next is None:
            raise _LostError
        token, self._next = self._next, next(self._tokens, None)
        return token

    def _skip(self, mark: str) -> None:
        if self._is(mark):
            self._take()

    def _is(self, mark: str) -> bool:
        return self._next is not None and self._next[0] == "mark" and self._next[1] == mark

    def _position(self, offset: int) -> Position:
        """Offsets only rise, so the line is looked for from the last one on."""
        while self._line + 1 < len(self._lines) and self._lines[self._line + 1] <= offset:
            self._line += 1
        return Position(self._line + 1, offset - self._lines[self._line] + 1)


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while match := _TOKEN.match(text, at):
        at = match.end()
        if match.lastgroup is not None and match.lastgroup != "skip":
            yield match.lastgroup, match[0], match.start()
