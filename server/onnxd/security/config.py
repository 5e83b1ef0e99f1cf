"""What an operator can set about who may do what."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from onnxd.units import Seconds


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """Who may do what."""

    keys_file: Path | None = None
    """The file of API keys, which `onnxd keys` writes; with one, requests need a credential."""
    keys_interval: Seconds = 1.0
    """How often that file is looked at, for changes to take effect."""
    certificates: dict[str, str] = field(default_factory=dict)
    """What clients may do whose certificate has this alternative name (a URI or a host): scopes, separated by
    spaces. Needs tls.client_ca."""
    public: tuple[str, ...] = ("health", "pages")
    """What callers without a credential may do where others need one: scopes, such as infer:digits*."""
    restricted_api: dict[str, str] = field(default_factory=dict, repr=False)
    """Triton's restricted APIs: groups of operations, joined by +, and the header that they need, KEY:VALUE.
    gRPC callers send it as triton-grpc-protocol-KEY."""
    failures_per_minute: Annotated[int, Ge(0)] = 20
    """Credentials that do not hold, from one address; beyond it such are answered 429, good ones as ever.
    0 = no limit."""
