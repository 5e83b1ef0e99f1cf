"""API keys: how one is made, read, and compared. Pure, but for the randomness.

    onnxd_<id>_<secret>_<check>

The id is public, to find and to log a key by. The secret is 256 random bits; of it the server keeps an
HMAC-SHA-256, so that whoever reads the file of keys has none. (A slow hash is for passwords: 256 random bits
cannot be guessed.) The check lets scanners find leaked keys, and typing errors be told from wrong keys.
"""

import binascii
import hmac
import re
import secrets
from typing import Final, NamedTuple

_FORM: Final = re.compile(r"onnxd_([a-z0-9]{12})_([A-Za-z0-9_-]{43})_([0-9a-f]{8})")
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_SECRET_BYTES: Final = 32
LONGEST: Final = 71
"""Characters of a key."""


class ApiKey(NamedTuple):
    """A key as its owner holds it."""

    id: str
    secret: str

    def text(self) -> str:
        """To be shown once."""
        return f"onnxd_{self.id}_{self.secret}_{_check(self.id, self.secret)}"


def new_key() -> ApiKey:
    """A key that nobody has."""
    identity = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    return ApiKey(identity, secrets.token_urlsafe(_SECRET_BYTES))


def read_key(text: str) -> ApiKey | None:
    """The parts of what somebody sent; None for what cannot be a key."""
    if len(text) > LONGEST or (match := _FORM.fullmatch(text)) is None:
        return None
    key = ApiKey(match[1], match[2])
    return key if match[3] == _check(*key) else None


def seal(secret: str, pepper: bytes) -> str:
    """What is kept of a secret, in hex."""
    return hmac.digest(pepper, secret.encode(), "sha256").hex()


def holds(secret: str, pepper: bytes, sealed: str) -> bool:
    """Whether a secret is the sealed one, in a time that does not tell how much of it is right."""
    return hmac.compare_digest(seal(secret, pepper), sealed)


def _check(identity: str, secret: str) -> str:
    return f"{binascii.crc32(f'{identity}{secret}'.encode()):08x}"
