"""How many requests, of whatever kind and over either protocol, were answered with an error."""

from collections.abc import Mapping
from typing import Final

from onnxd import errors
from onnxd.errors import ServerError

INTERNAL: Final = "InternalError"
"""A bug of ours, whatever its class: it is hidden from the client as well."""

REASONS: Final = (
    INTERNAL,
    *sorted(
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, ServerError) and kind is not ServerError
    ),
)
"""Every reason there is: the classes of onnxd.errors. Fixed, so that no client can add to them."""


class Refusals:
    """Errors by their class. Only the loop's thread may touch it."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(REASONS, 0)

    def count(self, kind: type[BaseException]) -> None:
        """One more request ended in this: by the most specific class that is a reason, else INTERNAL."""
        names = (ancestor.__name__ for ancestor in kind.__mro__ if issubclass(ancestor, ServerError))
        self._counts[next((name for name in names if name in self._counts), INTERNAL)] += 1

    def snapshot(self) -> Mapping[str, int]:
        return self._counts.copy()
