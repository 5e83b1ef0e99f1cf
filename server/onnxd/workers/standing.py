"""What clients have set that every worker has to know: a worker that starts later is told it then."""

from collections.abc import Iterator
from typing import Any, Final

Document = dict[str, Any]

TRACE: Final = "trace"
LOG: Final = "log"
REGISTER: Final = "register"
UNREGISTER: Final = "unregister"


class Standing:
    """The changes so far, as few as have the same effect. Pure."""

    def __init__(self) -> None:
        self._trace: dict[str, Document] = {}
        self._log: Document = {}
        self._regions: dict[tuple[str, str], Document] = {}

    def note(self, what: str, document: Document) -> None:
        if what == TRACE:
            self._trace.setdefault(document["model"], {}).update(document["change"])
        elif what == LOG:
            self._log.update(document["change"])
        elif what == REGISTER:
            self._regions[document["principal"], document["name"]] = document
        elif what == UNREGISTER:
            principal, name = document["principal"], document["name"]
            for key in [key for key in self._regions if key[0] == principal and name in (None, key[1])]:
                del self._regions[key]
        else:
            raise ValueError(f"not a change: {what}")

    def changes(self) -> Iterator[tuple[str, Document]]:
        """What leads a new worker to where the others are."""
        for model, change in self._trace.items():
            yield TRACE, {"model": model, "change": change}
        if self._log:
            yield LOG, {"change": self._log}
        for document in self._regions.values():
            yield REGISTER, document
