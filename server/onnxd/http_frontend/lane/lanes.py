"""All lanes of one listener, and what they share."""

import asyncio
import time
from typing import Final

from onnxd.http_frontend.connection import Connection, Connections
from onnxd.http_frontend.lane.burst import Burst
from onnxd.http_frontend.lane.connection import Lane
from onnxd.http_frontend.lane.service import LaneService

_SCRATCH_BYTES: Final = 32768
"""What is read at a time, of heads and of bodies that come with them: more of a body is read to where it
stays. One for all, since what was read is taken out at once."""


class Lanes:
    """Makes a lane for each connection."""

    def __init__(self, service: LaneService, connections: Connections) -> None:
        """`connections`: aiohttp's side of the same listener, which answers what is not for the lane."""
        self.service: Final = service
        self.scratch: Final = memoryview(bytearray(_SCRATCH_BYTES))
        self.now_ns: Final = time.monotonic_ns
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self.burst: Final = Burst(self._loop)
        self._lanes: set[Lane] = set()
        self._all_rest: asyncio.Future[None] | None = None

    def __call__(self) -> Lane:
        return Lane(self, self._loop)

    def close_idle(self) -> None:
        """Close every connection, those with a request in progress when that is answered."""
        for lane in tuple(self._lanes):
            lane.close_idle()

    async def shutdown(self, grace_s: float) -> None:
        """Wait for the requests in progress, and give up those that take longer."""
        if any(lane.busy for lane in self._lanes):
            self._all_rest = self._loop.create_future()
            try:
                async with asyncio.timeout(grace_s):
                    await self._all_rest
            except TimeoutError:
                pass
        for lane in tuple(self._lanes):
            lane.cancel()

    # What lanes call.

    def enter(self, lane: Lane, transport: asyncio.Transport) -> bool:
        """A connection is there. False = one too many."""
        if not self._connections.open.enter(lane, transport):
            return False
        self._lanes.add(lane)
        return True

    def leave(self, lane: Lane) -> None:
        self._lanes.discard(lane)
        self._connections.open.leave(lane)
        self.rested()

    def pass_on(self, lane: Lane, guest: Connection) -> None:
        """The connection is aiohttp's now."""
        self._lanes.discard(lane)
        self._connections.open.pass_on(lane, guest)
        self.rested()

    def guest(self, lane: Lane, transport: asyncio.Transport) -> Connection:
        """aiohttp's side of a connection, which answers what it is lent."""
        guest = self._connections.lent(lane)
        guest.connection_made(transport)
        guest.stop_waiting()
        return guest

    def wake(self, guest: Connection, transport: asyncio.Transport) -> None:
        self._connections.wake(guest, transport)

    def rest(self, guest: Connection) -> None:
        self._connections.rest(guest)

    def rested(self) -> None:
        """A request is over, or its connection."""
        waits = self._all_rest
        if waits is not None and not waits.done() and not any(lane.busy for lane in self._lanes):
            waits.set_result(None)
