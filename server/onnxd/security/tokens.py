"""JSON Web Tokens: whose they are, by the public keys of their issuer. An Authenticator, without I/O.

Only asymmetric algorithms, one for each kind of key, and only the keys that the issuer has published: a token
that brings a key, or the address of one, brings nothing.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import jwt

from onnxd.messages import Principal
from onnxd.security.gate import Caller
from onnxd.security.jwt_config import JwtConfig
from onnxd.security.scopes import ScopeFault, Scopes

_LEEWAY_S: Final = 30
_LONGEST: Final = 8192
_REMEMBERED: Final = 1024
_TYPES: Final = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_ALGORITHMS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("RSA", ""): ("RS256", "PS256"),
    ("EC", "P-256"): ("ES256",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
_MOST_KEYS: Final = 100


class KeysFault(ValueError):
    """A document without a key that can be used."""


class TokenKeys:
    """The public keys of an issuer, by their `kid`."""

    def __init__(self, keys: Mapping[str, tuple[Any, tuple[str, ...]]]) -> None:
        self._keys = keys

    @classmethod
    def read(cls, document: object) -> "TokenKeys":
        """Of a JWKS document. Keys for other uses, of other kinds, or without a `kid` are left out. Raises
        KeysFault."""
        entries = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise KeysFault('expected a JWKS document: {"keys": [...]}')
        keys: dict[str, tuple[Any, tuple[str, ...]]] = {}
        for entry in entries[:_MOST_KEYS]:
            if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
                continue
            kid, curve = entry.get("kid"), entry.get("crv", "")
            algorithms = _ALGORITHMS.get((str(entry.get("kty")), str(curve)))
            if not isinstance(kid, str) or algorithms is None:
                continue
            if (stated := entry.get("alg")) is not None:
                algorithms = tuple(name for name in algorithms if name == stated)
            try:
                keys[kid] = jwt.PyJWK(entry, algorithms[0] if algorithms else None).key, algorithms
            except jwt.PyJWTError:
                continue
        if not keys:
            raise KeysFault("the JWKS document has no RSA, P-256 or Ed25519 key with a 'kid' for signatures")
        return cls(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: str, algorithm: str) -> Any | None:
        """The key, if it is for that algorithm."""
        key, algorithms = self._keys.get(kid, (None, ()))
        return key if algorithm in algorithms else None


class Tokens:
    """Knows tokens. What it has verified it remembers until they end: a signature costs as much as a small
    request."""

    def __init__(self, config: JwtConfig) -> None:
        self._config = config
        self._keys = TokenKeys({})
        self._verified: OrderedDict[str, Caller] = OrderedDict()
        self.missed = False
        """A token came with a key that is not known: perhaps the issuer has a new one."""

    def use(self, keys: TokenKeys) -> None:
        """From now on, these keys and no others."""
        self._keys = keys
        self._verified.clear()

    def identify(self, credential: str, now_s: float) -> Caller | None:
        known = self._verified.get(credential)
        if known is not None:
            if now_s < known.ends_s:
                return known
            del self._verified[credential]
            return None
        caller = self._verify(credential)
        if caller is not None:
            self._verified[credential] = caller
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        return caller

    def _verify(self, token: str) -> Caller | None:
        if len(token) > _LONGEST or _TOKEN.fullmatch(token) is None:
            return None
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = str(header.get("alg")), str(header.get("kid"))
            if str(header.get("typ", "")).lower() not in _TYPES:
                return None
            key = self._keys.find(kid, algorithm)
            if key is None:
                self.missed = True
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._config.audience,
                issuer=self._config.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            return None
        return self._caller(claims)

    def _caller(self, claims: Mapping[str, Any]) -> Caller | None:
        ends_s, issued_s, subject = claims["exp"], claims["iat"], claims["sub"]
        numbers = all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in (ends_s, issued_s)
        )
        if not numbers or not 0 < ends_s - issued_s <= self._config.max_lifetime:
            return None
        if not isinstance(subject, str) or not subject.isprintable() or not 0 < len(subject) <= 256:
            return None
        return Caller(Principal(subject), _scopes(claims.get(self._config.scope_claim)), ends_s + _LEEWAY_S)


def _scopes(claim: object) -> Scopes:
    """A token's scopes that mean something here: the others are some other service's."""
    words = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    texts = []
    for word in words[:100]:
        try:
            Scopes.parse([str(word)])
        except ScopeFault:
            continue
        texts.append(str(word))
    return Scopes.parse(texts)
