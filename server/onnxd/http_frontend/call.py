"""One request on its way through the front end, and the routes that it may take."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from onnxd.errors import ServerError
from onnxd.messages import Timeline
from onnxd.scheduler.payloads import Payload
from onnxd.security.gate import EVERYBODY, Caller
from onnxd.security.operations import operation


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
    label: str = field(init=False)
    """Method and pattern, for the access log: never the path, whose names are the client's."""

    def __post_init__(self) -> None:
        operation(self.operation)
        object.__setattr__(self, "label", f"{self.method} {self.path}")


@dataclass(slots=True)
class Call:
    """A request: what the boundary settles before the handler runs, and what it logs afterwards."""

    request: web.BaseRequest
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
    error: str = ""
    """What went wrong, where the answer is not a refusal of the boundary's; for the access log."""
    error_kind: type[ServerError] | None = None
    """Its class, to be counted. Not the error itself: that has frames, and they have this."""


Handler = Callable[[Call], Awaitable[web.StreamResponse]]
