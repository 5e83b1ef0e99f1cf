"""What a client may ask for in headers or metadata, and what it is told there. Pure, for every protocol."""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from onnxd.messages import Timeline

REQUEST_ID: Final = "x-request-id"
TIMING: Final = "x-onnxd-timing"
TRACEPARENT: Final = "traceparent"
QUEUE_US: Final = "x-onnxd-queue-us"
COMPUTE_US: Final = "x-onnxd-compute-us"
BATCH: Final = "x-onnxd-batch"
REPLICA: Final = "x-onnxd-replica"
CONTENT: Final = "x-onnxd-model-content"

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
_WANTED: Final = frozenset({"1", "true"})


class Asked(NamedTuple):
    """What the headers of one request ask for."""

    request_id: str = ""
    timing: bool = False
    traced: bool = False
    """It brings a trace of its own."""


NOTHING_ASKED: Final = Asked()


def asked(headers: Iterable[tuple[str, object]]) -> Asked:
    """What is asked for. Names in lower case; what is not valid counts as not there."""
    request_id, timing, traced = "", False, False
    for name, value in headers:
        if name == REQUEST_ID:
            request_id = valid_request_id(value)
        elif name == TIMING:
            timing = wants_timing(value)
        elif name == TRACEPARENT:
            traced = True
    return Asked(request_id, timing, traced) if request_id or timing or traced else NOTHING_ASKED


def valid_request_id(value: object) -> str:
    """A request id that may be logged and sent back as it is; "" for what is none."""
    return value if isinstance(value, str) and _REQUEST_ID.fullmatch(value) else ""


def wants_timing(value: object) -> bool:
    """Whether the value of TIMING asks for the times."""
    return value in _WANTED


def timing_headers(timeline: Timeline, traceparent: str = "") -> list[tuple[str, str]]:
    """The times of a request that is over, the batch that it ran in, and who ran what, as far as it came.

    The batch is a dictionary of structured fields (RFC 9651): `rows=8, requests=3, cut=full`.
    """
    headers = [(TRACEPARENT, traceparent)] if traceparent else []
    queued_ns, taken_ns, ended_ns = (
        timeline.queue_start_ns,
        timeline.compute_start_ns,
        timeline.compute_end_ns,
    )
    if taken_ns:
        headers.append((QUEUE_US, str((taken_ns - queued_ns) // 1000)))
    if ended_ns:
        headers.append((COMPUTE_US, str((ended_ns - taken_ns) // 1000)))
    if timeline.batch_requests:
        cut = timeline.cut
        headers.append((BATCH, f"rows={timeline.batch_rows}, requests={timeline.batch_requests}, cut={cut}"))
    if timeline.executions:
        origin = timeline.executions[-1].origin
        named = ((REPLICA, origin.replica), (CONTENT, origin.content))
        headers.extend((name, value) for name, value in named if value)
    return headers
