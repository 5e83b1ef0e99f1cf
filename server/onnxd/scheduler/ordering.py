"""Answers that leave in the order in which their requests came, however their runs end."""

from collections import deque
from collections.abc import Callable

from onnxd.scheduler.item import Item


class ArrivalOrder:
    """Holds what runs have settled until it is its turn.

    Only what a run has said of a request has a turn. A request that is refused, expires, or loses its caller
    ends at once and holds nobody up; whoever ends it so says `leave`.
    """

    def __init__(self) -> None:
        self.kept = False
        """Whether requests that enter from now on have a turn."""
        self.held = 0
        """Requests that wait for their turn only."""
        self.held_bytes = 0
        """What the answers that wait for their turn have in memory."""
        self._line: deque[Item] = deque()
        """In the order of arrival; those that have ended are left out when they come to the front."""
        self._settled: dict[Item, tuple[Callable[[], None], int]] = {}

    def enter(self, item: Item) -> None:
        """It has come, and has a turn; to be called in the order of arrival."""
        item.ordered = True
        self._line.append(item)

    def settle(self, item: Item, deliver: Callable[[], None], byte_size: int) -> None:
        """`deliver` ends it: it is called now, or when all that came before have ended."""
        self._settled[item] = deliver, byte_size
        self.held += 1
        self.held_bytes += byte_size
        self._release()

    def leave(self, item: Item) -> None:
        """It has ended out of its turn."""
        if item in self._settled:
            self._take(item)
        self._release()

    def dissolve(self) -> None:
        """Nobody has a turn any more: what is held leaves now, in order."""
        self.kept = False
        line, self._line = self._line, deque()
        for item in line:
            item.ordered = False
            if item in self._settled:
                self._take(item)()

    def _release(self) -> None:
        while self._line and (self._line[0].future.done() or self._line[0] in self._settled):
            item = self._line.popleft()
            if item in self._settled:
                self._take(item)()

    def _take(self, item: Item) -> Callable[[], None]:
        deliver, byte_size = self._settled.pop(item)
        self.held -= 1
        self.held_bytes -= byte_size
        return deliver
