"""Which replica has the next request: what proxies and clients do, as choices alone.

Replicas are numbers. A balancer is told who there is, asked who is next, and told when a request begins and
ends; it hears nothing else of a replica, as its models in the field hear nothing.
"""

import random
from collections.abc import Sequence
from typing import Final, Protocol

_YOUNG: Final = 0.9
_OLD: Final = 1.1
"""The ages between which connections end, of `age_s`: as onnxd spreads them."""


class Balancer(Protocol):
    """A way to spread requests."""

    def follow(self, members: Sequence[int]) -> None:
        """These take requests from now on, at least one."""

    def choose(self, client: int, now_s: float) -> int:
        """Who has this client's request."""

    def began(self, client: int, replica: int) -> None:
        """It is there."""

    def ended(self, client: int, replica: int) -> None:
        """It has ended there, in whatever way."""

    def broken(self, client: int, replica: int) -> None:
        """The connection to a replica broke, or was refused."""


class Blind:
    """Knows who there is, and nothing of what they do."""

    def __init__(self, seed: int = 0) -> None:
        self.chance = random.Random(seed)
        self.members: Sequence[int] = ()

    def follow(self, members: Sequence[int]) -> None:
        self.members = members

    def began(self, client: int, replica: int) -> None:
        return None

    def ended(self, client: int, replica: int) -> None:
        return None

    def broken(self, client: int, replica: int) -> None:
        return None


class AtRandom(Blind):
    """Each request anywhere: a Service's address, when each request has a connection of its own."""

    def choose(self, client: int, now_s: float) -> int:
        return self.members[int(self.chance.random() * len(self.members))]


class RoundRobin(Blind):
    """In turn; each client has a turn of its own, begun anywhere. One client = one proxy."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._turns: dict[int, int] = {}

    def choose(self, client: int, now_s: float) -> int:
        turn = self._turns.get(client)
        if turn is None:
            turn = int(self.chance.random() * len(self.members))
        self._turns[client] = turn + 1
        return self.members[turn % len(self.members)]


class Pinned(Blind):
    """One connection for each client, to any replica; all its requests go there until the connection ends.

    So does HTTP/2 through a Service's address. `age_s`: how long the server keeps a connection.
    """

    def __init__(self, age_s: float, seed: int = 0) -> None:
        super().__init__(seed)
        self._age_s = age_s
        self._connections: dict[int, tuple[int, float]] = {}

    def choose(self, client: int, now_s: float) -> int:
        replica, until_s = self._connections.get(client, (-1, -1.0))
        if now_s < until_s:
            return replica
        replica = self.members[int(self.chance.random() * len(self.members))]
        # The first connections are of every age, as those of a fleet that has been there for long.
        youngest = _YOUNG if until_s >= 0 else 0.0
        age_s = self._age_s * self.chance.uniform(youngest, _OLD)
        self._connections[client] = replica, now_s + age_s
        return replica

    def broken(self, client: int, replica: int) -> None:
        if self._connections.get(client, (-1, 0.0))[0] == replica:
            self._connections[client] = -1, 0.0


class PowerOfTwo(Blind):
    """Of two at random the one with fewer requests of those that are known.

    `apart`: each client knows its own requests only, as a library or a sidecar does; else a proxy knows all.
    """

    def __init__(self, seed: int = 0, *, apart: bool = False) -> None:
        super().__init__(seed)
        self._apart = apart
        self._known: dict[tuple[int, int], int] = {}

    def choose(self, client: int, now_s: float) -> int:
        members, draw, view = self.members, self.chance.random, client if self._apart else 0
        count = len(members)
        if count == 1:
            return members[0]
        first = int(draw() * count)
        second = int(draw() * (count - 1))
        second += second >= first
        one, other = members[first], members[second]
        known = self._known
        return one if known.get((view, one), 0) <= known.get((view, other), 0) else other

    def began(self, client: int, replica: int) -> None:
        key = (client if self._apart else 0, replica)
        self._known[key] = self._known.get(key, 0) + 1

    def ended(self, client: int, replica: int) -> None:
        key = (client if self._apart else 0, replica)
        left = self._known[key] - 1
        if left:
            self._known[key] = left
        else:
            del self._known[key]


class LeastOutstanding(Blind):
    """The one with the fewest requests of all, any of several: one proxy that knows everything."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._levels: list[list[int]] = [[]]
        """Members by their requests, each level in any order."""
        self._place: dict[int, int] = {}
        self._counts: dict[int, int] = {}

    def follow(self, members: Sequence[int]) -> None:
        self.members = members
        self._levels, self._place = [[]], {}
        for member in members:
            self._enter(member, self._counts.get(member, 0))

    def choose(self, client: int, now_s: float) -> int:
        level = next(each for each in self._levels if each)
        return level[int(self.chance.random() * len(level))]

    def began(self, client: int, replica: int) -> None:
        self._move(replica, 1)

    def ended(self, client: int, replica: int) -> None:
        self._move(replica, -1)

    def _move(self, replica: int, change: int) -> None:
        count = self._counts.get(replica, 0)
        self._counts[replica] = count + change
        if replica in self._place:
            self._leave(replica, count)
            self._enter(replica, count + change)

    def _enter(self, replica: int, count: int) -> None:
        while len(self._levels) <= count:
            self._levels.append([])
        self._place[replica] = len(self._levels[count])
        self._levels[count].append(replica)

    def _leave(self, replica: int, count: int) -> None:
        level, at = self._levels[count], self._place.pop(replica)
        last = level.pop()
        if last != replica:
            level[at] = last
            self._place[last] = at


class Ejecting:
    """Whatever way, but a replica whose connection breaks or is refused has no requests for a while.

    gRPC clients and Envoy do so; a proxy that only probes does not. If all are out, all are in.
    """

    def __init__(self, inner: Balancer, out_s: float) -> None:
        self._inner = inner
        self._out_s = out_s
        self._members: Sequence[int] = ()
        self._out: dict[int, float] = {}
        """Until when, by replica."""
        self._next_s = float("inf")
        self._now_s = 0.0

    def follow(self, members: Sequence[int]) -> None:
        self._members = members
        inside = [each for each in members if each not in self._out]
        self._inner.follow(inside or members)
        self._next_s = min(self._out.values(), default=float("inf"))

    def choose(self, client: int, now_s: float) -> int:
        self._now_s = now_s
        if now_s >= self._next_s:
            self._out = {each: until_s for each, until_s in self._out.items() if until_s > now_s}
            self.follow(self._members)
        return self._inner.choose(client, now_s)

    def began(self, client: int, replica: int) -> None:
        self._inner.began(client, replica)

    def ended(self, client: int, replica: int) -> None:
        self._inner.ended(client, replica)

    def broken(self, client: int, replica: int) -> None:
        self._inner.broken(client, replica)
        if replica not in self._out:
            self._out[replica] = self._now_s + self._out_s
            self.follow(self._members)
