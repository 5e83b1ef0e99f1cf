"""One connection, whose inference requests take the lane and whose others take aiohttp.

IDLE      between two requests; perhaps with the beginning of a head
BUSY      a request is being answered; what comes meanwhile waits, in order
BODY      the same, and its body is coming, into its own buffer
LENT      aiohttp answers a request whose end is known; its bytes are passed on, what follows waits
REFUSED   the rest of a refused body is read and dropped, so that the client reads the refusal
OVER      closed, or aiohttp's for good
"""

import asyncio
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Final, cast

import structlog
from aiohttp.tcp_helpers import tcp_keepalive

from onnxd.http_frontend.call import Route
from onnxd.http_frontend.connection import Connection
from onnxd.http_frontend.lane.eager_task import EagerTask
from onnxd.http_frontend.lane.head import Head, HeadReader, NotFramed
from onnxd.http_frontend.lane.head_deadline import HeadDeadline
from onnxd.http_frontend.lane.incoming import Incoming
from onnxd.http_frontend.lane.service import LaneCall
from onnxd.http_frontend.reader_watch import ReaderWatch
from onnxd.messages import Execution

if TYPE_CHECKING:
    from onnxd.http_frontend.lane.lanes import Lanes

_MOST_WAITING_BYTES: Final = 65536
"""Of requests behind the one that is being answered; then nothing more is read."""
_MOST_IN_A_ROW: Final = 16
"""Requests that are answered at once, before other connections have a turn."""

_log = structlog.get_logger(__name__)


class State(IntEnum):
    IDLE = 0
    BUSY = 1
    BODY = 2
    LENT = 3
    REFUSED = 4
    OVER = 5


class Lane(asyncio.BufferedProtocol):
    """See the module. Requests are taken strictly one after the other, whoever answers them, so that answers
    are in the order of the requests."""

    def __init__(self, lanes: "Lanes", loop: asyncio.AbstractEventLoop) -> None:
        self._lanes = lanes
        self._service = lanes.service
        self._config = lanes.service.config
        self._loop = loop
        self._scratch = lanes.scratch
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._state = State.IDLE
        self._waiting = b""
        """What has come and belongs to no request yet."""
        self._owed = 0
        """Bytes that are still to come of a lent or a refused request."""
        self._head: Head | None = None
        """The last plain one: nearly always the next one is the same to the byte."""
        self._reader: HeadReader | None = None
        self._incoming: Incoming | None = None
        self._task: EagerTask | None = None
        self._call: LaneCall | None = None
        self._last = False
        """The connection ends when the request that is being answered is over."""
        self._taking = False
        self._unsent: bytes | memoryview = b""
        """An answer that is to go with those of other connections."""
        self.full = False
        """The transport has more to write than it should."""
        self._drained: asyncio.Future[None] | None = None
        self._watch = ReaderWatch(self._config, loop)
        self._deadline = HeadDeadline(self._config.keepalive_timeout, loop, self._expired)
        self._linger: asyncio.TimerHandle | None = None
        self._guest: Connection | None = None

    @property
    def busy(self) -> bool:
        """A request is being answered, here or by aiohttp."""
        return self._task is not None or self._state is State.LENT

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are one by what they do, not by their class.
        opened = self._transport = cast(asyncio.Transport, transport)
        tcp_keepalive(opened)
        if not self._lanes.enter(self, opened):
            self._state = State.OVER
            return
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self._deadline.start()

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._incoming is not None:
            return self._incoming.room()
        return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        if self._incoming is not None:
            self._incoming.took(nbytes)
            if not self._incoming.missing:
                self._incoming = None
                self._state = State.BUSY
                if self._call is not None:
                    self._call.incomplete = False
            return
        if self._owed:
            self._pass_on(self._scratch[:nbytes].tobytes())
            return
        self._waiting += self._scratch[:nbytes].tobytes()
        if self._state is State.IDLE:
            self._take_requests()
        elif self._state is State.OVER:
            self._waiting = b""
        elif len(self._waiting) >= _MOST_WAITING_BYTES and self._transport is not None:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self.full = True
        if self._guest is not None:
            self._guest.pause_writing()
        elif self._transport is not None:
            self._watch.begin(self._transport)

    def resume_writing(self) -> None:
        self.full = False
        if self._guest is not None:
            self._guest.resume_writing()
        else:
            self._watch.end()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._state is State.IDLE:
            self._take_requests()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unsent = b""
        self._end()
        self._watch.end()
        self._transport = None
        self._lanes.leave(self)
        if self._guest is not None:
            self._guest.connection_lost(exc)
            self._guest = None
        if self._task is not None:
            self._task.cancel()

    # Requests, one after the other.

    def _take_requests(self) -> None:
        """Answer what has come, as far as it can be answered now."""
        if self._taking:
            return
        self._taking = True
        try:
            for _ in range(_MOST_IN_A_ROW):
                if self._state is not State.IDLE or not self._waiting or self.full:
                    return
                head = self._next_head()
                if head is None:
                    return
                if head.route is None:
                    self._lend(head)
                else:
                    self._answer(head, head.route)
        finally:
            self._taking = False
        self._loop.call_soon(self._take_requests)

    def _next_head(self) -> Head | None:
        """The head that has come; None = it has not, or it is no longer ours to read."""
        head = self._head
        if head is not None and self._waiting.startswith(head.raw):
            return head
        reader = self._reader
        if reader is None:
            reader = self._reader = HeadReader()
        try:
            head = reader.read(self._waiting)
        except NotFramed:
            self._hand_over()
            return None
        if head is not None:
            self._reader = None
            if head.plain:
                self._service.settle(head)
                if head.route is not None:
                    self._head = head
        return head

    def _answer(self, head: Head, route: Route) -> None:
        waiting, begins = self._waiting, len(head.raw)
        ends = begins + head.length
        call = self._call = LaneCall(head, self, self._peer, self._transport, self._lanes.now_ns())
        self._state = State.BUSY
        if ends <= len(waiting):
            call.body, self._waiting = waiting[begins:ends], waiting[ends:]
        else:
            call.incomplete = True
            self._waiting = waiting[begins:]
        task = self._task = EagerTask(self._loop, self._service.serve(call, route), self._over)
        task.step()

    async def receive(self, call: LaneCall) -> memoryview:
        """The body of the request that is being answered, once all of it has come. Raises RequestTooSlow."""
        head = call.head
        incoming = Incoming(head.length, head.json_length, self._config, self._loop)
        came = self._waiting[: head.length]
        self._waiting = self._waiting[head.length :]
        incoming.room()[: len(came)] = came
        incoming.took(len(came))
        if incoming.missing:
            self._incoming = incoming
            self._state = State.BODY
        else:
            call.incomplete = False
        try:
            return await incoming.done
        finally:
            incoming.close()

    def send(self, parts: Sequence[bytes | memoryview], *, last: bool, run: Execution | None = None) -> None:
        """Write an answer. `last`: the connection ends with it; `run`: what has computed it."""
        if self._transport is None:
            return
        self._last = self._last or last
        if self._unsent:
            self.flush()
        if len(parts) > 1:
            self._transport.writelines(parts)
        elif last or not self._service.busy:
            self._lanes.burst.write()
            self._transport.write(parts[0])
        else:
            self._unsent = parts[0]
            self._lanes.burst.hold(self, run)

    def flush(self) -> None:
        """Write the answer that is held back, if there is one."""
        unsent, self._unsent = self._unsent, b""
        if unsent and self._transport is not None:
            self._transport.write(unsent)

    async def drained(self) -> None:
        """Wait until the client has taken most of an answer."""
        self._drained = self._loop.create_future()
        try:
            await self._drained
        finally:
            self._drained = None

    def cut(self) -> None:
        """End the connection in the middle of an answer."""
        self._last = True
        self._unsent = b""
        if self._transport is not None:
            self._transport.abort()

    def _over(self, fault: BaseException | None) -> None:
        """The request is answered, or nobody waits for it any more."""
        call, self._call, self._task = self._call, None, None
        self._lanes.rested()
        if fault is not None and not isinstance(fault, asyncio.CancelledError):
            _log.error("a request escaped the boundary", exc_info=fault)
        if self._transport is None:
            return
        if fault is not None:
            self._close()
        elif self._last:
            if call is not None and call.incomplete:
                self._drop_rest(call.head.length)
            else:
                self._close()
        else:
            self._state = State.IDLE
            self._deadline.start()
            if self._waiting:
                self._transport.resume_reading()
                self._take_requests()

    def _drop_rest(self, length: int) -> None:
        incoming, self._incoming = self._incoming, None
        self._owed = (length - len(self._waiting)) if incoming is None else incoming.missing
        self._waiting = b""
        self._state = State.REFUSED
        if self._owed <= 0 or self._config.linger_timeout <= 0:
            self._close()
        else:
            self._linger = self._loop.call_later(self._config.linger_timeout, self._close)

    # Requests that aiohttp answers.

    def _pass_on(self, data: bytes) -> None:
        """Bytes of a request that is lent or refused, and perhaps of those behind it."""
        part, rest = data[: self._owed], data[self._owed :]
        self._owed -= len(part)
        self._waiting += rest
        if self._state is State.LENT and self._guest is not None:
            self._guest.data_received(part)
        elif not self._owed:
            self._close()

    def _lend(self, head: Head) -> None:
        ends = len(head.raw) + head.length
        part, self._waiting = self._waiting[:ends], self._waiting[ends:]
        self._owed = ends - len(part)
        self._state = State.LENT
        guest = self._invited()
        if guest is not None:
            guest.data_received(part)

    def given_back(self) -> bool:
        """aiohttp has answered what it was lent. False = some of that is still to come."""
        if self._owed or self._state is not State.LENT or self._transport is None:
            return self._transport is None
        if self._guest is not None:
            self._lanes.rest(self._guest)
        self._state = State.IDLE
        self._deadline.start()
        if self._waiting:
            self._transport.resume_reading()
            self._take_requests()
        return True

    def _hand_over(self) -> None:
        """From here on the connection is aiohttp's, with what has come and has not been answered."""
        guest, transport, waiting = self._invited(), self._transport, self._waiting
        if guest is None or transport is None:
            return
        self._end()
        self._waiting = b""
        self._guest = self._transport = None
        transport.set_protocol(guest)
        guest.lender = None
        self._lanes.pass_on(self, guest)
        if self._config.keepalive_timeout > 0:
            guest.await_head_until(self._deadline.at_s)
        transport.resume_reading()
        guest.data_received(waiting)

    def _invited(self) -> Connection | None:
        if self._transport is None:
            return None
        self.flush()
        if self._guest is None:
            self._guest = self._lanes.guest(self, self._transport)
        else:
            self._lanes.wake(self._guest, self._transport)
        return self._guest

    # The end.

    def close_idle(self) -> None:
        """Close now, or after the answer that is on its way."""
        self._last = True
        if self._state is State.IDLE:
            self._close()

    def cancel(self) -> None:
        """Give up what is being answered, and close."""
        if self._task is not None:
            self._task.cancel()
        self._close()

    def _expired(self) -> bool:
        if self._state is State.IDLE:
            self._close()
        return self._state is State.OVER

    def _close(self) -> None:
        self._end()
        if self._transport is not None:
            self._transport.close()

    def _end(self) -> None:
        self.flush()
        self._state = State.OVER
        self._owed = 0
        self._deadline.stop()
        if self._linger is not None:
            self._linger.cancel()
        if self._incoming is not None:
            self._incoming.close()
            self._incoming = None
