"""From the operator's settings to the gate, and what it needs while it is open."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from onnxd.security.config import AuthConfig
from onnxd.security.gate import Authenticator, Gate
from onnxd.security.jwt_config import JwtConfig
from onnxd.security.key_ring import KeyRing
from onnxd.security.restrictions import RestrictionFault, read_restrictions
from onnxd.security.scopes import ScopeFault, Scopes
from onnxd.security.token_keys import TokenKeeper
from onnxd.security.tokens import Tokens


class AuthUnusable(ValueError):
    """The settings of `auth` do not say what they mean. For the operator at start-up."""


@asynccontextmanager
async def open_gate(config: AuthConfig, jwt: JwtConfig) -> AsyncIterator[Gate]:
    """Raises AuthUnusable, KeyFileUnusable, TokenKeysUnusable."""
    try:
        public = Scopes.parse(config.public)
        certificates = {name: Scopes.parse(text.split()) for name, text in config.certificates.items()}
        restrictions = read_restrictions(config.restricted_api)
    except (ScopeFault, RestrictionFault) as fault:
        raise AuthUnusable(str(fault)) from fault
    authenticators: list[Authenticator] = []
    async with AsyncExitStack() as resources:
        if config.keys_file is not None:
            ring = KeyRing(config.keys_file, look_every_s=config.keys_interval)
            authenticators.append(await resources.enter_async_context(ring))
        if jwt.issuer:
            tokens = Tokens(jwt)
            await resources.enter_async_context(TokenKeeper(jwt, tokens))
            authenticators.append(tokens)
        yield Gate(authenticators, certificates=certificates, public=public, restrictions=restrictions)
