"""A config.yaml in the making: its values, where each came from, and what was found wrong on the way."""

import itertools
from collections.abc import Iterable
from typing import Any, Final

from onnxd.repository.document import Document, Fault, Loc, Node, Position
from onnxd.repository.fault_codes import Code
from onnxd.repository.pbtxt.text import Stated

_MOST_WARNINGS: Final = 50
_NOWHERE: Final = Node(Position(0, 0), Position(0, 0))


class Sheet:
    """What the translation writes on. `at` is always a place in the message, `loc` one in config.yaml."""

    def __init__(self, stated: Stated) -> None:
        self.message = stated.message
        self.document = Document(stated.source, {})
        self._places = stated.places
        self._warnings: list[Fault] = []

    def put(self, loc: Loc, value: Any, at: Loc) -> None:
        """Set a value. What surrounds it is made; list items are put in their order."""
        container: Any = self.document.value
        for part, below in itertools.pairwise(loc):
            new: Any = [] if isinstance(below, int) else {}
            if isinstance(part, int) and part == len(container):
                container.append(new)
            container = container[part] if isinstance(part, int) else container.setdefault(part, new)
        if isinstance(container, list):
            container.append(value)
        else:
            container[loc[-1]] = value
        self._remember(loc, value, at)

    def fault(self, at: Loc, text: str) -> None:
        """The model cannot be loaded with this."""
        self.document.faults.append(Fault(self._node(at).value, at, text, Code.PBTXT))

    def warn(self, at: Loc, text: str) -> None:
        """The model is loaded without this."""
        self._warnings.append(Fault(self._node(at).start, at, text))

    def warnings(self) -> tuple[str, ...]:
        """A line each, in the file's order; not more than anybody reads."""
        ordered = sorted(self._warnings, key=lambda fault: fault.position)
        lines = [self.document.render([fault]) for fault in ordered[:_MOST_WARNINGS]]
        if len(ordered) > _MOST_WARNINGS:
            lines.append(f"{self.document.source}: and {len(ordered) - _MOST_WARNINGS} more without effect")
        return tuple(lines)

    def call(self, names: Iterable[tuple[Loc, Loc]]) -> None:
        """What the message calls places of config.yaml that it leaves out."""
        for loc, at in names:
            self.document.names.setdefault(loc, at)

    def _remember(self, loc: Loc, value: Any, at: Loc) -> None:
        node = self._node(at)
        written = "" if isinstance(value, dict | list | str) else str(value).lower()
        self.document.nodes[loc] = Node(node.start, node.value, written)
        self.document.names[loc] = at
        if isinstance(value, dict):
            for key, below in value.items():
                self._remember((*loc, key), below, (*at, key))
        elif isinstance(value, list):
            for index, below in enumerate(value):
                self._remember((*loc, index), below, (*at, index))

    def _node(self, at: Loc) -> Node:
        """The nearest place that is known."""
        for length in range(len(at), 0, -1):
            if (node := self._places.get(at[:length])) is not None:
                return node
        return Node(Position(1, 1), Position(1, 1)) if self._places else _NOWHERE
