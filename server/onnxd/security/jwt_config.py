"""What an operator can set about JSON Web Tokens."""

from dataclasses import dataclass
from pathlib import Path

from onnxd.units import Seconds


@dataclass(frozen=True, slots=True)
class JwtConfig:
    """JSON Web Tokens of one issuer, as bearer credentials."""

    issuer: str = ""
    """The `iss` that tokens must have, to the letter; with one, tokens are accepted, and requests need a
    credential."""
    audience: str = ""
    """The `aud` that tokens must be for."""
    keys_file: Path | None = None
    """The issuer's public keys, a JWKS document; read again when it changes."""
    keys_url: str = ""
    """Where the issuer publishes that document: https, without redirects. One of the two is needed."""
    scope_claim: str = "scope"
    """The claim with the scopes, separated by spaces or as a list; those that are not ours are left out."""
    max_lifetime: Seconds = 86400.0
    """The longest time from a token's `iat` to its `exp`."""
    refresh: Seconds = 3600.0
    """How often the keys are fetched."""


class TokenKeysUnusable(OSError):
    """The settings of `jwt` lead to no keys. For the operator at start-up: the message names the mend."""
