"""Whether requests come one by one, or several in one turn of the loop.

Of several, those that the loop reads in one turn shall share a batch, and so none is run before the turn is
over. To wait for that has a price for a request that comes alone: two more turns of the loop until it is
answered, and as many polls. So after some turns with one request each, the first of a turn is run at once; if
another comes in the same turn, it has cost one run too many, and they are collected again.
"""

from typing import Final

LONE_TURNS: Final = 8
"""After so many with one request each, they are taken to come one by one."""


class Company:
    """What the last turns were like. It knows of turns only in which an instance was idle."""

    __slots__ = ("_came", "_lone_turns", "one_by_one")

    def __init__(self) -> None:
        self.one_by_one = False
        """The first request of a turn need not wait for others."""
        self._came = 0
        self._lone_turns = 0

    def came(self) -> None:
        """A request, in this turn."""
        self._came += 1

    def turn_over(self) -> None:
        came, self._came = self._came, 0
        if came > 1:
            self.one_by_one, self._lone_turns = False, 0
        elif came and not self.one_by_one:
            self._lone_turns += 1
            self.one_by_one = self._lone_turns >= LONE_TURNS
