"""Is this request one that a web page made behind its user's back? A pure check of two headers.

A page of any site can send requests to a server on the user's own machine, and with DNS rebinding even read
the answers. Browsers say who asks (Origin), and whom they think they ask (Host).
"""

import ipaddress
from urllib.parse import urlsplit

from onnxd.errors import PermissionDenied


def check_origin(*, listening_on: str, host: str | None, origin: str | None) -> None:
    """Raises PermissionDenied for a request from a page of another origin, and, when the server listens on
    the machine's own addresses only, for one that was addressed to any other name.

    `listening_on` is a host name or address without port; `host` and `origin` are the headers' values.
    """
    if origin is not None and (host is None or _authority_of(origin) != host.lower()):
        raise PermissionDenied(
            "this operation is not for web pages of other origins; call it without an 'Origin' header"
        )
    if host is None or not is_this_machine(listening_on):
        return
    name = _name_of(host)
    if name != listening_on.lower() and not is_this_machine(name):
        raise PermissionDenied(
            "this operation must be addressed to this machine by a loopback name: "
            f"expected 'Host: {listening_on}' or localhost"
        )


def _authority_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name_of(authority: str) -> str:
    """The host of `host:port` or `[v6]:port`, in lower case."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


def is_this_machine(name: str) -> bool:
    """Whether a host name or an address is one that only the machine itself can reach."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
