"""YAML text -> a Document; everything surprising in YAML is refused.

Built from libyaml's events, not from its composer: events carry anchors and explicit tags, and come one
by one, so that nesting is bounded before it costs anything (250,000 opening brackets keep the composer busy
for over a minute). Nothing is ever constructed but mappings, lists, text, numbers, and truth values.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from onnxd.repository.document import Document, Fault, FaultyDocument, Loc, Node, Position, render, shown
from onnxd.repository.fault_codes import Code

MAX_BYTES: Final = 256 * 2**10
MAX_DEPTH: Final = 32

_TAG: Final = "tag:yaml.org,2002:"
_KEPT_TAGS: Final = frozenset(
    {f"{_TAG}{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq")}
)
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,24})")
_FLOAT: Final = re.compile(r"[-+]?[0-9]{1,24}\.[0-9]{0,24}([eE][-+]?[0-9]{1,2})?")
_NO_VALUE: Final = "has no value; give it one, or leave the key out"
_TRUE: Final = frozenset({"true", "yes", "on"})


def parse_document(data: bytes, source: str) -> Document:
    """Parse one YAML document.

    Raises FaultyDocument for what cannot be read at all. What can be read around (a duplicate key, an
    alias, a tag, a number that YAML 1.1 reads in a way nobody means) is in the document's `faults`.
    """
    document = Document(source)
    if len(data) > MAX_BYTES:
        raise _refused(document, Position(1, 1), f"larger than {MAX_BYTES // 2**10} KiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        position = _position_at(data[: error.start].decode("utf-8", "replace"))
        raise _refused(document, position, "not UTF-8 text") from error
    try:
        _Builder(document).build(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        position = _position(error.problem_mark) if error.problem_mark else Position(1, 1)
        raise _refused(document, position, _syntax_text(error, text, position)) from error
    except yaml.reader.ReaderError as error:
        before = text.encode()[: error.position].decode("utf-8", "replace")
        raise _refused(document, _position_at(before), str(error.reason)) from error
    return document


class _Builder:
    """Builds the value while the events go by, with a stack of its own instead of recursion."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._resolver: Any = yaml.resolver.Resolver()
        self._stack: list[_Frame] = []

    def build(self, events: Iterator[Any]) -> None:
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _refused(
                        self._document, _position(event.start_mark), "a second document begins here"
                    )
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self._open(event)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                self._stack.pop()
            elif isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)

    def _open(self, event: Any) -> None:
        position = _position(event.start_mark)
        if len(self._stack) == MAX_DEPTH:
            raise _refused(self._document, position, f"nested more than {MAX_DEPTH} levels deep")
        if self._awaits_key():
            raise _refused(self._document, position, "a key must be text, not a list or a mapping")
        container: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        loc = self._place(container, position, event)
        self._stack.append(_Frame(container, loc, position))

    def _scalar(self, event: Any) -> None:
        position = _position(event.start_mark)
        if self._awaits_key():
            self._key(self._stack[-1], event, position)
            return
        value, problem = _scalar_value(self._tag(event), event.value)
        loc = self._place(value, position, event, event.value)
        if problem and loc:  # an empty document is no fault
            code = Code.NO_VALUE if problem is _NO_VALUE else Code.UNQUOTED
            self._refuse(loc, position, problem, code)

    def _alias(self, event: Any) -> None:
        position = _position(event.start_mark)
        if self._awaits_key():
            raise _refused(self._document, position, "a key must be text, not an alias")
        loc = self._place(None, position, None)
        self._refuse(loc, position, f"aliases (*{shown(event.anchor)}) are not allowed; write the value out")

    def _awaits_key(self) -> bool:
        return (
            bool(self._stack) and isinstance(self._stack[-1].container, dict) and self._stack[-1].key is None
        )

    def _key(self, frame: "_Frame", event: Any, position: Position) -> None:
        frame.key, frame.key_position = event.value, position
        loc = (*frame.loc, event.value)
        self._check_event(event, loc, position)
        tag = self._tag(event)
        plain = tag == f"{_TAG}int" and _INTEGER.fullmatch(event.value)  # the same text either way
        if tag != f"{_TAG}str" and not plain:
            text = "a key must be text, and YAML reads this one as something else; put it in quotes"
            self._document.faults.append(Fault(position, loc, text, Code.UNQUOTED))

    def _place(self, value: Any, position: Position, event: Any, text: str = "") -> Loc:
        """Put a value where it belongs; of two with the same key the first stays."""
        document = self._document
        start = position
        if not self._stack:
            loc: Loc = ()
            document.value = value
        else:
            frame = self._stack[-1]
            if isinstance(frame.container, list):
                loc = (*frame.loc, len(frame.container))
                frame.container.append(value)
            else:
                key, start = frame.key or "", frame.key_position
                frame.key = None
                loc = (*frame.loc, key)
                if key in frame.container:
                    first = document.nodes[loc].start.line
                    text_twice = f"given twice; first on line {first}"
                    document.faults.append(Fault(start, loc, text_twice, Code.TWICE))
                    loc = (*frame.loc, f"{key} (line {start.line})")
                else:
                    frame.container[key] = value
        document.nodes.setdefault(loc, Node(start, position, text))
        if event is not None:
            self._check_event(event, loc, position)
        return loc

    def _check_event(self, event: Any, loc: Loc, position: Position) -> None:
        if event.anchor is not None:
            text = f"anchors (&{shown(event.anchor)}) are not allowed; write the value where it is needed"
            self._document.faults.append(Fault(position, loc, text, Code.SURPRISING))
        if event.tag is not None and event.tag not in _KEPT_TAGS:
            tag = shown(event.tag.replace(_TAG, "!!"))
            self._refuse(loc, position, f"tags ({tag}) are not allowed; only plain values are")

    def _refuse(self, loc: Loc, position: Position, text: str, code: Code = Code.SURPRISING) -> None:
        self._document.faults.append(Fault(position, loc, text, code))
        self._document.opaque.add(loc)

    def _tag(self, event: Any) -> str:
        if event.tag is not None and event.tag != "!":
            return str(event.tag)
        return str(self._resolver.resolve(yaml.ScalarNode, event.value, event.implicit))


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is still open."""

    container: dict[str, Any] | list[Any]
    loc: Loc
    key_position: Position
    key: str | None = None


def _scalar_value(tag: str, text: str) -> tuple[Any, str]:
    """A scalar's value, or None with what is wrong with it."""
    kind = tag.removeprefix(_TAG)
    if kind == "str":
        return text, ""
    if kind == "bool":
        return text.lower() in _TRUE, ""
    if kind == "int" and _INTEGER.fullmatch(text):
        return int(text), ""
    if kind == "float" and _FLOAT.fullmatch(text):
        return float(text), ""
    if kind == "null":
        return None, _NO_VALUE
    if tag not in _KEPT_TAGS and kind != "timestamp":
        return None, ""  # an explicit tag, reported as such
    if kind == "timestamp":
        return None, f"YAML reads {shown(text)} as a date; put it in quotes"
    return (
        None,
        f"YAML reads {shown(text)} as a number, but not as what it looks like; write a plain decimal number",
    )


def _position(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)


def _position_at(before: str) -> Position:
    """The position behind `before`."""
    return Position(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _syntax_text(error: yaml.MarkedYAMLError, text: str, position: Position) -> str:
    lines = text.split("\n")
    line = lines[position.line - 1] if position.line <= len(lines) else ""
    if line[position.column - 1 : position.column] == "\t":
        return "a tab; YAML is indented with spaces only"
    return f"not YAML: {error.problem}" + (f" {error.context}" if error.context else "")


def _refused(document: Document, position: Position, text: str) -> FaultyDocument:
    """An error that ends the reading, with the faults found up to there."""
    faults = (*document.faults, Fault(position, (), text, Code.UNREADABLE))
    return FaultyDocument(render(document.source, faults), faults)
