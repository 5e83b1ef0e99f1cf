"""From the operator's settings to the gate, and what it needs while it is open."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from onnxd.security.config import AuthConfig
from onnxd.security.gate import Authenticator, Gate
from onnxd.security.jwt_config import JwtConfig
from onnxd.security.key_ring import KeyRing
from onnxd.security.rate_config import RateConfig, RateFault
from onnxd.security.rates import Rates
from onnxd.security.restrictions import RestrictionFault, read_restrictions
from onnxd.security.scopes import ScopeFault, Scopes
from onnxd.security.token_bucket import Buckets

_MINUTE_S: Final = 60.0
_MOST_ADDRESSES: Final = 10_000


class AuthUnusable(ValueError):
    """The settings of `auth` or `rate` do not say what they mean. For the operator at start-up."""


@asynccontextmanager
async def open_gate(config: AuthConfig, jwt: JwtConfig, rate: RateConfig) -> AsyncIterator[Gate]:
    """Raises AuthUnusable, KeyFileUnusable, TokenKeysUnusable."""
    try:
        public = Scopes.parse(config.public)
        certificates = {name: Scopes.parse(text.split()) for name, text in config.certificates.items()}
        restrictions = read_restrictions(config.restricted_api)
        rates = Rates(rate)
    except (ScopeFault, RestrictionFault, RateFault) as fault:
        raise AuthUnusable(str(fault)) from fault
    authenticators: list[Authenticator] = []
    ring: KeyRing | None = None
    async with AsyncExitStack() as resources:
        if config.keys_file is not None:
            ring = KeyRing(config.keys_file, look_every_s=config.keys_interval)
            authenticators.append(await resources.enter_async_context(ring))
        if jwt.issuer:
            # Not above: PyJWT and its cryptography hold 12 MiB, which a server without tokens need not have.
            from onnxd.security.token_keys import TokenKeeper
            from onnxd.security.tokens import Tokens

            tokens = Tokens(jwt)
            await resources.enter_async_context(TokenKeeper(jwt, tokens))
            authenticators.append(tokens)
        yield Gate(
            authenticators,
            certificates=certificates,
            public=public,
            restrictions=restrictions,
            failures=_failures(config.failures_per_minute),
            rates=rates,
            keys=None if jwt.issuer or certificates or restrictions else ring,
        )


def _failures(per_minute: int) -> Buckets | None:
    if not per_minute:
        return None
    return Buckets(per_minute / _MINUTE_S, per_minute, at_most=_MOST_ADDRESSES)
