"""A configuration file as plain values that know their line and column, and the faults found in it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from onnxd.errors import LoadFailed
from onnxd.repository.fault_codes import Code
from onnxd.repository.mends import Mend

Loc = tuple[str | int, ...]
"""Where in a document: keys and list indexes, from the root. () is the whole document."""

_MAX_SHOWN_FAULTS: Final = 50
_MAX_SHOWN_TEXT: Final = 1000


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Counted from 1, as editors do; line 0 = nobody knows."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a document."""

    position: Position
    loc: Loc
    text: str
    code: Code = Code.VALUE
    mend: Mend = ()
    """How the file is mended, if there is no doubt about it."""
    graph: str = ""
    """What the graph says of it."""


@dataclass(frozen=True, slots=True)
class Node:
    """Where a value stands, and how it was written."""

    start: Position
    """Of the key, for a value under a key; else of the value."""
    value: Position
    text: str = ""
    """A scalar as written, for messages: YAML reads `no` as false."""


@dataclass(slots=True)
class Document:
    """A parsed document. `value` is None when it is empty."""

    source: str
    """The file's name, as messages show it."""
    value: Any = None
    nodes: dict[Loc, Node] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    """Refused, but the rest could still be read."""
    opaque: set[Loc] = field(default_factory=set)
    """Where a fault left None in place of the value: what a schema says of these is no news."""
    names: dict[Loc, Loc] = field(default_factory=dict)
    """What the source calls a place, where that is not what config.yaml calls it."""

    def position(self, loc: Loc, *, key: bool = False) -> Position:
        """Where `loc` stands; for a place that the document lacks, its nearest surrounding."""
        for length in range(len(loc), -1, -1):
            if node := self.nodes.get(loc[:length]):
                return node.start if key and length == len(loc) else node.value
        return Position(1, 1)

    def fault(
        self,
        loc: Loc,
        text: str,
        code: Code = Code.VALUE,
        mend: Mend = (),
        graph: str = "",
        *,
        key: bool = False,
    ) -> Fault:
        return Fault(self.position(loc, key=key), loc, text, code, mend, graph)

    def written(self, loc: Loc) -> Loc:
        """A place by the names that the source has for it."""
        for length in range(len(loc), 0, -1):
            if (name := self.names.get(loc[:length])) is not None:
                return (*name, *loc[length:])
        return loc

    def render(self, faults: Iterable[Fault]) -> str:
        """As `render`, in the source's own terms."""
        return render(self.source, [replace(fault, loc=self.written(fault.loc)) for fault in faults])


class FaultyDocument(ValueError):
    """Not readable as the document it should be. The text has one line for each fault, in their order."""

    def __init__(self, text: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(text)
        self.faults = faults


class FaultyConfig(LoadFailed):
    """A model that did not load because of its config. The message has one line for each fault."""

    def __init__(self, message: str, source: str, faults: tuple[Fault, ...]) -> None:
        super().__init__(message)
        self.source = source
        """The config's file name."""
        self.faults = faults
        """In the file's terms, sorted by position."""


def shown(text: str, limit: int = 60) -> str:
    """Text from a file as a message may show it: not too long, and nothing that a terminal acts upon."""
    cut = text if len(text) <= limit else f"{text[:limit]}..."
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in cut)


def path_text(loc: Loc) -> str:
    """A place as people write it: inputs[0].shape."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc]
    return shown("".join(parts).removeprefix("."), 120)


def render(source: str, faults: Iterable[Fault]) -> str:
    """`file:line:column: path: text`, one line each, sorted by position; without the unknown numbers."""
    ordered = sorted(faults, key=lambda fault: fault.position)
    lines = []
    for fault in ordered[:_MAX_SHOWN_FAULTS]:
        path = f"{path_text(fault.loc)}: " if fault.loc else ""
        place = f"{source}:{fault.position.line}:{fault.position.column}" if fault.position.line else source
        lines.append(f"{place}: {path}{shown(fault.text, _MAX_SHOWN_TEXT)}")
    if len(ordered) > _MAX_SHOWN_FAULTS:
        lines.append(f"{source}: and {len(ordered) - _MAX_SHOWN_FAULTS} more")
    return "\n".join(lines)
