"""What may still be received (RFC 9113 §5.2). Pure. What may be sent is a plain number at its place."""

from typing import Final

_SHARE: Final = 2
"""A window is given back when so large a part of it is owed (one half): seldom enough to cost little, early
enough that a sender need not stop."""


class ReceiveWindow:
    """Of a stream or of a connection: bytes come, are consumed, and are given back in batches."""

    __slots__ = ("_batch", "_open", "_owed")

    def __init__(self, size: int) -> None:
        self._open = size
        self._owed = 0
        self._batch = size // _SHARE

    def take(self, count: int) -> bool:
        """Bytes have come; False = more than were allowed."""
        self._open -= count
        return self._open >= 0

    def give_back(self, count: int) -> int:
        """Bytes are consumed; the increment of the WINDOW_UPDATE that is due, or 0."""
        owed = self._owed + count
        if owed < self._batch:
            self._owed = owed
            return 0
        self._owed = 0
        self._open += owed
        return owed
