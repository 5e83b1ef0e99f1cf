"""Reads the URL of a server."""

import ipaddress
from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import SplitResult, urlsplit

Scheme = Literal["http", "https", "grpc", "grpcs"]
_SCHEMES = ("http", "https", "grpc", "grpcs")
_EXAMPLES = "http://127.0.0.1:8000 or grpc://127.0.0.1:8001"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens.

    `authority` is host[:port] as the URL has it; `path` is a prefix without trailing slash, "" for most.
    """

    scheme: Scheme
    authority: str
    host: str
    path: str

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Raises ValueError, with the URL that was probably meant."""
        scheme, separator, rest = url.partition("://")
        if not separator:
            probable = "grpc" if url.endswith(":8001") else "http"
            raise ValueError(
                f'"{url}" does not say which protocol to speak: did you mean "{probable}://{url.lstrip("/")}"?'
            )
        if scheme not in _SCHEMES:
            raise ValueError(f'"{url}" begins with "{scheme}://", expected one of {", ".join(_SCHEMES)}')
        parts = urlsplit(url)
        port = _port(parts, url)
        if not parts.hostname:
            raise ValueError(f'"{url}" names no host, expected something like {_EXAMPLES}')
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError(
                f'"{url}" holds more than an address: leave out query, fragment and user '
                "(credentials go into headers=)"
            )
        path = parts.path.rstrip("/")
        if scheme.startswith("grpc"):
            if port is None:
                raise ValueError(f'"{url}" names no port: did you mean "{scheme}://{rest.rstrip("/")}:8001"?')
            if path:
                raise ValueError(f'"{url}" has a path, which gRPC cannot use: leave out "{path}"')
        return cls(scheme=cast(Scheme, scheme), authority=parts.netloc, host=parts.hostname, path=path)

    @property
    def secure(self) -> bool:
        return self.scheme in ("https", "grpcs")

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine, as far as the name tells."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def _port(parts: SplitResult, url: str) -> int | None:
    try:
        return parts.port
    except ValueError as error:
        raise ValueError(
            f'"{url}" has no usable port ({error}), expected something like {_EXAMPLES}'
        ) from None
