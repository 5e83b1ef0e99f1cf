"""What is done with the requests of all lanes of a listener: the boundary's decisions, and the steps of an
inference between them."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Final

from onnxd.errors import ServerError
from onnxd.http_frontend.body import check_size
from onnxd.http_frontend.call import Exchange, Route
from onnxd.http_frontend.config import HttpConfig
from onnxd.http_frontend.infer_steps import Body, InferSteps
from onnxd.http_frontend.lane.answer_head import Clock, UsualHeads, answer_head, refusal_bytes
from onnxd.http_frontend.lane.head import Head
from onnxd.http_frontend.middleware import Boundary
from onnxd.http_frontend.tracing import Progress, traced
from onnxd.scheduler.payloads import PayloadBound
from onnxd.telemetry.access import answers_are_logged
from onnxd.telemetry.request_headers import REQUEST_ID

if TYPE_CHECKING:
    from onnxd.http_frontend.lane.connection import Lane

_JOINED_BYTES: Final = 65536
_ANSWERED: Final = 200


class LaneCall(Exchange):
    """A request on a lane, for a head that leads to an inference."""

    body: bytes = b""
    """Where it came with its head."""
    incomplete: bool = False
    """Its body is not all here."""
    begun: bool = False
    """The answer has begun."""

    def __init__(
        self, head: Head, lane: "Lane", peer: str, transport: asyncio.BaseTransport | None, received_ns: int
    ) -> None:
        # Without the dataclass's own, which sets each of twenty defaults.
        self.head = head
        self.lane = lane
        self.method = head.method
        self.path = head.path
        self.headers = head.headers
        self.peer = peer
        self.transport = transport
        self.received_ns = received_ns
        self.route = head.route
        self.verdict = head.verdict
        self.model = head.model
        self.version = head.version
        self.header_id = head.header_id


class LaneService:
    """Answers requests for one operation: inference."""

    def __init__(
        self, boundary: Boundary, steps: InferSteps, config: HttpConfig, payloads: PayloadBound
    ) -> None:
        self.config: Final = config
        self._boundary = boundary
        self._steps = steps
        self._payloads = payloads
        self._clock = Clock()
        self._heads = UsualHeads(self._clock)

    @property
    def busy(self) -> bool:
        """Other requests are on their way, so that an answer may have company."""
        return self._steps.inference.in_flight > 0

    def settle(self, head: Head) -> None:
        """Note where a plain head leads, if that is an inference of a valid name: all else is aiohttp's."""
        call = Exchange(head.method, head.path, head.headers, "", None, 0)
        try:
            route = self._boundary.locate(call)
        except ServerError:
            return
        if isinstance(route, Route) and route.on_lane:
            head.route, head.model, head.version = route, call.model, call.version

    def closes(self, call: LaneCall) -> bool:
        """Whether the connection ends with the answer."""
        return self._boundary.draining or call.head.closes or call.incomplete

    async def serve(self, call: LaneCall, route: Route) -> None:
        """Answer a request, whatever comes of it. Raises CancelledError alone."""
        status = _ANSWERED
        try:
            with self._boundary.permitted(route, call):
                await traced(self._steps.tracing, call, self._answer)
        except BaseException as raised:
            refusal = self._boundary.refused(call, raised)
            status = refusal.status
            if call.begun:
                # It would land in the middle of the answer: the connection ends instead.
                call.lane.cut()
            else:
                closes = self.closes(call)
                head = refusal_bytes(refusal, self._clock.date(), closes=closes, header_id=call.header_id)
                call.lane.send((head,), last=closes)
        finally:
            if call.payload is not None:
                call.payload.release()
        if status != _ANSWERED or answers_are_logged():
            self._boundary.log(call, status)

    async def _answer(self, call: LaneCall, progress: Progress) -> None:
        answer = await self._steps.answer(call, progress, call.head.infer, self._receive)
        parts: Sequence[bytes | memoryview] = answer.parts
        length = sum(map(len, parts))
        closes = self.closes(call)
        if closes or progress.wants_timing or call.header_id or call.rated is not None:
            more = progress.timing()
            if call.header_id:
                more.append((REQUEST_ID, call.header_id))
            if call.rated is not None:
                more += self._boundary.left(call).items()
            head = answer_head(answer, length, self._clock.date(), more, closes=closes)
        else:
            head = self._heads.usual(answer, length)
        parts = (head, *parts)
        if length <= _JOINED_BYTES:
            parts = (b"".join(parts),)
        call.begun = True
        ran = progress.timeline.executions
        call.lane.send(parts, last=closes, run=ran[-1] if ran else None)
        if call.lane.full:
            await call.lane.drained()

    def _receive(self, call: LaneCall) -> Body | Awaitable[Body]:
        payload = call.payload = self._payloads.open()
        check_size(call.head.length, self.config)
        payload.grow(call.head.length)
        if not call.incomplete:
            return call.body
        return call.lane.receive(call)
