"""One request on its way through the front end, and the routes that it may take."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web
from multidict import MultiMapping

from onnxd.errors import ServerError
from onnxd.messages import Timeline
from onnxd.scheduler.payloads import Payload
from onnxd.security.gate import EVERYBODY, Caller, Verdict
from onnxd.security.operations import operation
from onnxd.security.rates import Share


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the HTTP surface. Raises ValueError for one that the table of permissions has not.

    `path` may hold the variables {model}, {version}, {repo} and {region}, each one whole segment.
    """

    method: str
    path: str
    handler: "Handler"
    operation: str
    """Its row in the table of permissions (security/operations.py)."""
    model: str = ""
    """The one model that it is about, on a path that names none."""
    on_lane: bool = False
    """Whether its requests may go without aiohttp, on the lane, which knows inference alone."""
    label: str = field(init=False)
    """Method and pattern, for the access log: never the path, whose names are the client's."""

    def __post_init__(self) -> None:
        operation(self.operation)
        object.__setattr__(self, "label", f"{self.method} {self.path}")


@dataclass
class Exchange:
    """A request, whichever way it came: its head, what the boundary settles before it is answered, and what
    is logged afterwards. Without slots, so that what has a default is the class's until it is set."""

    method: str
    path: str
    """As it was sent, percent-encoding and all, without the query."""
    headers: MultiMapping[str]
    """By name, whatever its case."""
    peer: str
    """The address that it came from; "" = none that is known."""
    transport: asyncio.BaseTransport | None
    """None = the client has gone."""
    received_ns: int
    """time.monotonic_ns() when the head of the request was there."""
    route: Route | None = None
    """None = no route leads there."""
    model: str = ""
    """A valid name, but perhaps of no model; "" on routes without one."""
    version: int | None = None
    """None = the model's policy chooses."""
    region: str = ""
    """A valid name of a shared memory region; "" on routes without one."""
    caller: Caller = EVERYBODY
    """Who asks, and what they may do."""
    verdict: Verdict | None = None
    """What the gate has said of the same head before; None = of each head anew."""
    request_id: str = ""
    """The client's own id, once it is decoded."""
    header_id: str = ""
    """The one in its x-request-id, which goes back with the answer; "" = none that is valid."""
    trace_id: str = ""
    """Of an inference request that is over, and traced."""
    timeline: Timeline | None = None
    """Of an inference request."""
    payload: Payload | None = None
    """What it holds of the bound on all requests; the boundary releases it."""
    rated: Share | None = None
    """The share of its caller, if that has a rate."""
    error: str = ""
    """What went wrong, where the answer is not a refusal of the boundary's; for the access log."""
    error_kind: type[ServerError] | None = None
    """Its class, to be counted. Not the error itself: that has frames, and they have this."""

    def host(self) -> str | None:
        """Whom the request is for; None = it does not say."""
        return self.headers.get("Host")


@dataclass
class Call(Exchange):
    """A request that came through aiohttp."""

    request: web.BaseRequest = field(kw_only=True)

    def host(self) -> str | None:
        # In a request of the absolute form that is in the target, whatever the header says. In others
        # request.host would look the machine's own name up when there is no header.
        return Exchange.host(self) if self.request.raw_path.startswith("/") else self.request.host


Handler = Callable[[Call], Awaitable[web.StreamResponse]]
