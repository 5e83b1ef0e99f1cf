"""One call on its way through the front end, and what the edge settles about it."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType

from onnxd.errors import Unauthenticated
from onnxd.grpc_frontend.context import Context
from onnxd.grpc_frontend.credentials import credentials_of
from onnxd.messages import Timeline
from onnxd.security.gate import EVERYBODY, Caller, Gate, require
from onnxd.security.peer import grpc_peer_address
from onnxd.security.rates import NOTHING, Hold, Rates
from onnxd.telemetry.refusals import Refusals
from onnxd.telemetry.request_headers import NOTHING_ASKED, REQUEST_ID, Asked, asked


@dataclass(slots=True)
class Call:
    """A call, or one request of a stream: what is known before its handler runs, and is logged afterwards."""

    context: Context
    operation: str
    """`inference.GRPCInferenceService/ModelInfer`"""
    refusals: Refusals
    """Where it is counted if it ends in an error."""
    asks: str
    """Its row in the table of permissions (security/operations.py)."""
    caller: Caller = EVERYBODY
    """Who asks, and what they may do."""
    rates: Rates | None = None
    """What an inference request has to hold a share of; None = of nothing."""
    held: Hold = NOTHING
    """What it does hold."""
    received_ns: int = field(default_factory=time.monotonic_ns)
    """time.monotonic_ns() when its message was there, not yet parsed."""
    model: str = ""
    """As the client wrote it, valid or not."""
    request_id: str = ""
    """The client's own id."""
    trace_id: str = ""
    """Of an inference request that is over, and traced."""
    version: int | None = None
    """Of the model, that answered."""
    timeline: Timeline | None = None
    """Of an inference request."""
    asked: Asked = NOTHING_ASKED
    """What its metadata ask for."""

    def deadline_s(self) -> float | None:
        """The caller's deadline in seconds of time.monotonic(); None = it set none."""
        remaining_s = self.context.time_remaining()
        return None if remaining_s is None else time.monotonic() + remaining_s

    def require(self, model: str, asks: str = "") -> None:
        """Raises PermissionDenied, or Unauthenticated, unless the caller may do that on a model.
        `asks`: what it turns out to ask besides, as which it counts from now on."""
        self.asks = asks or self.asks
        require(self.caller, self.asks, model)

    def hold(self) -> Hold:
        """The caller's share of one inference request. Raises RateLimited."""
        if self.rates is not None:
            self.held = self.rates.hold(self.caller.principal, grpc_peer_address(self.context.peer()))
        return self.held

    def next(self) -> "Call":
        """The next message of this stream. Raises Unauthenticated once the stream's credential is over."""
        if self.caller.ends_s <= time.time():
            raise Unauthenticated(
                "the credential that the stream began with is over; begin another with a new one"
            )
        call = Call(self.context, self.operation, self.refusals, self.asks, self.caller, self.rates)
        call.asked = self.asked._replace(timing=False)  # of a stream there is nothing to tell at its end
        return call

    def look_at_metadata(self) -> None:
        """Settle what its metadata ask for. What goes back at once: the id that it came with."""
        self.asked = asked(self.context.invocation_metadata() or ())
        if self.asked.request_id:
            self.trail(())

    def trail(self, metadata: Iterable[tuple[str, str]]) -> None:
        """Send these, and the request's id, behind the answer. The last call of this holds."""
        own = ((REQUEST_ID, self.asked.request_id),) if self.asked.request_id else ()
        self.context.set_trailing_metadata((*own, *metadata))

    def carrier(self) -> Mapping[str, str]:
        """The call's text metadata, for trace propagation; nothing where there is no trace."""
        if not self.asked.traced:
            return {}
        metadata = self.context.invocation_metadata() or ()
        return {key: value for key, value in metadata if isinstance(value, str)}


class InProgress:
    """Counts the calls whose handlers run, `with in_progress`, and those that are refused.

    A transport's stop returns when the last call has ended on the wire, and its handler may still be about to
    hear that it is cancelled, with holds on models that the repository is about to close.
    """

    def __init__(self, refusals: Refusals, gate: Gate) -> None:
        self.refusals = refusals
        self._gate = gate
        self.calls = 0
        self._none_left: asyncio.Future[None] | None = None

    def __enter__(self) -> None:
        self.calls += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.calls -= 1
        if self._none_left is not None and not self.calls and not self._none_left.done():
            self._none_left.set_result(None)

    def admit(self, call: Call) -> None:
        """Settle who calls, and what its metadata ask for. Raises Unauthenticated, PermissionDenied,
        MalformedPayload, RateLimited."""
        call.look_at_metadata()
        if not self._gate.open:
            call.caller = self._gate.identify(call.asks, credentials_of(call.context, self._gate))
            require(call.caller, call.asks)
        if self._gate.rates.on:
            call.rates = self._gate.rates

    async def none_left(self) -> None:
        """Wait until no handler runs. For one waiter, once there are no new calls."""
        if self.calls:
            self._none_left = asyncio.get_running_loop().create_future()
            await self._none_left
