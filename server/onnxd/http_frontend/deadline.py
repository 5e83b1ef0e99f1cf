"""The caller's own deadline."""

from typing import Final

from onnxd.errors import MalformedPayload
from onnxd.http_frontend.call import Exchange
from onnxd.protocol.wording import show

HEADER: Final = "x-request-timeout-ms"
_MOST_DIGITS: Final = 10


def deadline_s(call: Exchange) -> float | None:
    """When the caller stops waiting, in seconds of time.monotonic(); None = it does not say.

    Counted from the arrival of the request's head. Raises MalformedPayload.
    """
    value = call.headers.get(HEADER)
    return None if value is None else deadline_after_s(value, call.received_ns)


def deadline_after_s(value: str, received_ns: int) -> float:
    """The same, of the header's value. Raises MalformedPayload."""
    if not (value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS):
        raise MalformedPayload(
            f"header '{HEADER}': expected a whole number of milliseconds, got {show(value)}"
        )
    return received_ns / 1e9 + int(value) / 1e3
