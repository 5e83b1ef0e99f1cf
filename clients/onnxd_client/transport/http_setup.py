"""What both colours of the HTTP transport share: pools, time limits, trust, and the table of its failures."""

import math
import ssl
from collections.abc import Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Final

import httpx

from onnxd_client.address import Address
from onnxd_client.errors import (
    ConnectFailed,
    DeadlineExceeded,
    InvalidRequest,
    ServerError,
    ServerFault,
    Unavailable,
)
from onnxd_client.http_codec import HttpReply, HttpRequest
from onnxd_client.plan import Attempt

CONNECT_TIMEOUT: Final = 10.0
LINE_TIMEOUT: Final = 15.0  # seconds; events come every second
KEEPALIVE: Final = 60.0  # seconds; below the 75 of servers like ours, so that they do not close first

FAILURES: Final[Mapping[type[httpx.TransportError], type[ServerError]]] = MappingProxyType(
    {
        httpx.ConnectTimeout: ConnectFailed,
        httpx.ReadTimeout: DeadlineExceeded,
        httpx.WriteTimeout: DeadlineExceeded,
        httpx.PoolTimeout: DeadlineExceeded,
        httpx.ConnectError: ConnectFailed,
        httpx.ReadError: Unavailable,
        httpx.WriteError: Unavailable,
        httpx.CloseError: Unavailable,
        httpx.ProxyError: ConnectFailed,
        httpx.RemoteProtocolError: Unavailable,
        httpx.LocalProtocolError: InvalidRequest,
        httpx.UnsupportedProtocol: InvalidRequest,
    }
)


def failure(error: httpx.TransportError, address: Address) -> ServerError:
    """Our error for one of httpx's, which often have no text of their own."""
    found = next((FAILURES[kind] for kind in type(error).__mro__ if kind in FAILURES), Unavailable)
    what = {
        ConnectFailed: "cannot connect",
        DeadlineExceeded: "no answer within the deadline",
        InvalidRequest: "the request cannot be sent",
        Unavailable: "the connection was lost",
    }.get(found, "failed")
    return found(f"{address}: {what} ({str(error) or type(error).__name__})")


def undecodable(error: httpx.DecodingError, address: Address) -> ServerError:
    return ServerFault(f"{address}: the answer cannot be decompressed ({error})")


def trust(address: Address, ca_file: str | None) -> ssl.SSLContext:
    """The certificates to believe: the system's, or only those of the file."""
    if not address.secure:
        # Reading the system's bundle takes tens of milliseconds. This one trusts nobody: it can only fail.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context(cafile=ca_file)


def limits(connections: int) -> httpx.Limits:
    return httpx.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEEPALIVE
    )


def standing_headers() -> dict[str, str]:
    """Sent with every request. Identity, because compressing tensors costs more than sending them."""
    return {"Accept-Encoding": "identity", "User-Agent": f"onnxd-client/{version('onnxd-client')}"}


def timeouts(seconds: float) -> httpx.Timeout:
    """Bounds each step; the transports bound the whole."""
    left = None if math.isinf(seconds) else seconds
    return httpx.Timeout(left, connect=min(seconds, CONNECT_TIMEOUT))


def arguments(attempt: Attempt[HttpRequest]) -> tuple[str, str, dict[str, str]]:
    """Method, path and headers; the codec's own headers win."""
    request = attempt.request
    headers = {**attempt.headers, **{name.lower(): value for name, value in request.headers.items()}}
    return request.method, request.path, headers


def reply(response: httpx.Response, body: bytes) -> HttpReply:
    # httpx's mapping answers to lower-case names, which is all that HttpReply promises.
    return HttpReply(response.status_code, response.headers, body)
