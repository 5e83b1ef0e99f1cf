"""Whether a caller is on the server's own machine: a pure look at its address."""

import ipaddress
from functools import lru_cache
from urllib.parse import unquote


def is_loopback(address: str | None) -> bool:
    """Whether an IP address is one that only the machine itself can call from; no for None, "" and names."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


@lru_cache(maxsize=1024)
def grpc_peer_address(peer: str) -> str:
    """The address in gRPC's name of a peer: `ipv4:127.0.0.1:50051`, `ipv6:%5B::1%5D:50051`; else ""."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    return unquote(rest).rpartition(":")[0].strip("[]")
