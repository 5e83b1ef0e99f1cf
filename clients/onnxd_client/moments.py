"""What a server is doing at one moment, as its stream of events tells it."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from onnxd_client.errors import ServerFault
from onnxd_client.results import Document


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


def moments(lines: Iterable[str]) -> Generator[Moment, None, None]:
    """The moments in a stream of server-sent events. Raises ServerFault for lines that are none."""
    kind, bounds = "", {}
    for line in lines:
        name, _, text = line.partition(": ")
        if name == "event":
            kind = text
        elif name == "data":
            try:
                document = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                raise ServerFault(f"the events have a line that is not JSON: {text[:80]!r}") from error
            if kind == "bounds":
                bounds = document
            elif kind == "moment":
                yield Moment(document, bounds)
