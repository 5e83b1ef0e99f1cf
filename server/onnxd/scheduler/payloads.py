"""The bytes of all requests in flight, whatever model they are for, and the bound on them.

Counted from before a body is read, where its length is known, until the request is answered.
"""

from types import TracebackType
from typing import Final

from onnxd.errors import Unavailable
from onnxd.units import size_text

_RETRY_AFTER_S: Final = 1.0


class PayloadBound:
    """How much is held, and how much may be. Belongs to the loop's thread."""

    def __init__(self, bound_bytes: int) -> None:
        """-1 = no bound."""
        self.bound_bytes: Final = bound_bytes
        self.held_bytes = 0

    def open(self) -> "Payload":
        """What one request holds: nothing yet. Whoever opens it releases it, or uses it as a context."""
        return Payload(self)


class Payload:
    """What one request holds of the bound."""

    __slots__ = ("_bound", "size_bytes")

    def __init__(self, bound: PayloadBound) -> None:
        self._bound = bound
        self.size_bytes = 0

    def grow(self, more_bytes: int) -> None:
        """Before so many more bytes are received. Raises Unavailable when they are too many, beside what
        other requests hold: one that is alone always fits, since each has limits of its own."""
        bound = self._bound
        held_bytes = bound.held_bytes + more_bytes
        if 0 <= bound.bound_bytes < held_bytes and bound.held_bytes > self.size_bytes:
            raise Unavailable(
                f"the server holds {size_text(bound.held_bytes)} of requests, and with this one it would be "
                f"more than {size_text(bound.bound_bytes)} (the setting inference.max_in_flight_bytes)",
                retry_after_s=_RETRY_AFTER_S,
            )
        self.size_bytes += more_bytes
        bound.held_bytes = held_bytes

    def add(self, more_bytes: int) -> None:
        """So many more bytes are there, and nobody was asked: an answer. Negative = they are gone."""
        self.size_bytes += more_bytes
        self._bound.held_bytes += more_bytes

    def release(self) -> None:
        """Nothing is held any more. May be repeated."""
        self._bound.held_bytes -= self.size_bytes
        self.size_bytes = 0

    def __enter__(self) -> "Payload":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
