"""What a server is doing at one moment, as its stream of events tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from onnxd_client.errors import ServerFault
from onnxd_client.results import Document

EVENTS_PATH: Final = "/v2/events"


@dataclass(frozen=True, slots=True)
class Moment:
    """One event. `document` has what docs/console.md says of it: `time_s`, `models`, and more."""

    document: Document
    bounds: Mapping[str, Sequence[float]]
    """Upper bounds of the histograms' buckets: `seconds` and `rows`."""

    @property
    def models(self) -> Sequence[Mapping[str, Any]]:
        models: Sequence[Mapping[str, Any]] = self.document["models"]
        return models


class MomentReader:
    """Reads a stream of server-sent events, line by line."""

    def __init__(self) -> None:
        self._kind = ""
        self._bounds: Mapping[str, Sequence[float]] = {}

    def read(self, line: str) -> Moment | None:
        """The moment that this line completes. Raises ServerFault for an event that is not JSON."""
        name, _, text = line.partition(": ")
        if name == "event":
            self._kind = text
        elif name == "data":
            try:
                document = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                raise ServerFault(f"the events have a line that is not JSON: {text[:80]!r}") from error
            if self._kind == "moment":
                return Moment(document, self._bounds)
            if self._kind == "bounds":
                self._bounds = document
        return None
