"""The one gate: who is this, and may they do that? Both front ends ask it, before they read a body.

    credentials -> admit  -> Caller      who they are, and that they may use the operation at all
    Caller      -> require               that they may use it on this model

With nothing configured the gate is open: everybody may do everything that is switched on.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Protocol

from onnxd.errors import MalformedPayload, PermissionDenied, RateLimited, ServerError, Unauthenticated
from onnxd.messages import ANONYMOUS, Principal
from onnxd.security.operations import OPERATIONS
from onnxd.security.rate_config import RateConfig
from onnxd.security.rates import Rates, network_of
from onnxd.security.restrictions import Restrictions
from onnxd.security.scopes import EVERYTHING, Scopes
from onnxd.security.token_bucket import Buckets

_LONGEST: Final = 8192
NONE: Final[Mapping[str, str]] = MappingProxyType({})
"""Headers that nobody looks for."""
_BEARER: Final = "Bearer "
_HOW: Final = "send it as 'Authorization: Bearer CREDENTIAL', an API key also as 'X-API-Key: KEY'"


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """Somebody whom the gate has let in. Compared by identity, to be found fast."""

    principal: Principal
    scopes: Scopes
    ends_s: float = math.inf
    """When the credential ends, in seconds of the Unix epoch."""


EVERYBODY: Final = Caller(ANONYMOUS, EVERYTHING)


@dataclass(slots=True)
class Credentials:
    """What a request's head says of who sent it."""

    authorization: Sequence[str] = ()
    api_key: Sequence[str] = ()
    certificate: Sequence[str] = ()
    """The names in a client's certificate that TLS has verified."""
    restricted: Mapping[str, str] = field(default_factory=lambda: NONE)
    """The headers of restricted APIs, by their names in lower case without the protocol's prefix."""
    prefix: str = ""
    """What the protocol puts before those names."""
    peer: str = ""
    """The address that it came from; "" = none that is known."""


class Keys(Protocol):
    """The API keys, where nothing else lets anybody in."""

    edition: object
    """Another one whenever the keys are others."""


class Verdict:
    """What the gate has said of a request's head, for the next one that is the same to the byte.

    It holds for the keys of one edition, and not longer than the credential does.
    """

    __slots__ = ("_caller", "_edition")

    def __init__(self) -> None:
        self._caller: Caller | None = None
        self._edition: object = None

    def note(self, caller: Caller, edition: object) -> None:
        """This caller may do what the head asks for."""
        self._caller, self._edition = caller, edition

    def caller(self, edition: object, now_s: float) -> Caller | None:
        """Who may, at a time of the Unix epoch; None: the gate is to be asked."""
        caller = self._caller
        if caller is None or edition is not self._edition or now_s >= caller.ends_s:
            return None
        return caller


class Authenticator(Protocol):
    """Something that knows credentials of one kind."""

    def identify(self, credential: str, now_s: float) -> Caller | None:
        """Whose credential this is, at a time of the Unix epoch; None if it is nobody's. Does not block."""


class Gate:
    """Settled when the server starts; what its authenticators know may change while it runs."""

    def __init__(
        self,
        authenticators: Sequence[Authenticator] = (),
        *,
        certificates: Mapping[str, Scopes] | None = None,
        public: Scopes = EVERYTHING,
        restrictions: Restrictions | None = None,
        failures: Buckets | None = None,
        rates: Rates | None = None,
        keys: Keys | None = None,
    ) -> None:
        """Without authenticators and certificates everybody is let in. `certificates`: what a
        client may do, by a name in its verified certificate. `public`: what needs no credential.
        `failures`: how often an address may come with a credential that does not hold; None = as it likes.
        `rates` None: nothing limits how much is asked. `keys`: given where they alone decide."""
        self._certificates = certificates or {}
        self._authenticators = tuple(authenticators)
        self._nobody = Caller(ANONYMOUS, public)
        self._restrictions = restrictions or Restrictions({})
        self._failures = failures
        self._keys = keys
        self.rates: Final = rates or Rates(RateConfig())
        """What callers hold while they are served."""
        self.authenticates: Final = bool(self._authenticators or self._certificates)
        self.open: Final = not self.authenticates and not self._restrictions
        """There is nothing to check: front ends need not even collect credentials."""
        self.knows_certificates: Final = bool(self._certificates)
        """Whether the names in a client's certificate are looked at."""
        self.restricted_apis: Final = self._restrictions.apis
        self.restricted_headers: Final = self._restrictions.headers
        """What to collect for `Credentials.restricted`."""

    @property
    def edition(self) -> object:
        """Of what decides, for `Verdict`; None = a head alone does not settle who may."""
        return None if self._keys is None else self._keys.edition

    def admit(self, operation: str, credentials: Credentials) -> Caller:
        """Who asks, if they may use an operation at all. Raises as `identify` and `require` do."""
        caller = self.identify(operation, credentials)
        require(caller, operation)
        return caller

    def identify(self, operation: str, credentials: Credentials) -> Caller:
        """Who asks for an operation, whether they may or not: `require` says that, and until then they are
        known to the log.

        Raises Unauthenticated, PermissionDenied for the want of a restricted API's header, MalformedPayload
        for more than one credential, and RateLimited for one that does not hold, from an address that has
        sent too many of them.
        """
        if self.open:
            return EVERYBODY
        row = OPERATIONS[operation]
        if self.restricted_apis:
            try:
                self._restrictions.check(row.restricted_api, credentials.restricted, credentials.prefix)
            except PermissionDenied as denied:
                raise self._failed(denied, credentials.peer) if credentials.restricted else denied from None
        if not self.authenticates:
            return EVERYBODY
        return self._identify(credentials)

    def _identify(self, credentials: Credentials) -> Caller:
        sent = _only_one(credentials)
        if sent is None:
            return self._of_certificate(credentials.certificate)
        now_s = time.time()
        if len(sent) <= _LONGEST:
            for authenticator in self._authenticators:
                caller = authenticator.identify(sent, now_s)
                if caller is not None:
                    return _with_also(caller, self._nobody.scopes)
        failed = Unauthenticated(f"the credential is not one that holds here; {_HOW}")
        raise self._failed(failed, credentials.peer)

    def _failed(self, refused: ServerError, peer: str) -> ServerError:
        """What an attempt with a wrong secret is told. Only such attempts are counted, and limited: whoever
        shares the address and has a good credential does not notice."""
        wait_s = 0.0 if self._failures is None else self._failures.take(network_of(peer), time.monotonic())
        if wait_s <= 0:
            return refused
        return RateLimited(
            "too many credentials that do not hold came from this address (auth.failures_per_minute); "
            f"come again in {wait_s:.3g} s, or with one that does",
            retry_after_s=wait_s,
        )

    def _of_certificate(self, names: Sequence[str]) -> Caller:
        for name in names:
            scopes = self._certificates.get(name)
            if scopes is not None:
                return Caller(Principal(name), scopes.with_also(self._nobody.scopes))
        return self._nobody


@lru_cache(maxsize=1024)
def _with_also(caller: Caller, public: Scopes) -> Caller:
    return replace(caller, scopes=caller.scopes.with_also(public))


def require(caller: Caller, operation: str, model: str = "") -> None:
    """Raises PermissionDenied for what a caller may not do, on a model if one is named, or Unauthenticated
    where a credential might help."""
    if not caller.scopes.permits(OPERATIONS[operation].verb, model):
        raise _refused(caller, operation, model)


def may_see(caller: Caller, operation: str, model: str) -> bool:
    """Whether a model is named to a caller in lists."""
    return caller.scopes.permits(OPERATIONS[operation].verb, model)


def _only_one(credentials: Credentials) -> str | None:
    """The credential that was sent; None = there is none."""
    authorization, api_key = credentials.authorization, credentials.api_key
    if len(authorization) == 1 and not api_key:  # nearly always
        return _bearer(authorization[0])
    sent = [*map(_bearer, authorization), *api_key]
    if len(sent) > 1:
        raise MalformedPayload(f"expected one credential, got {len(sent)}; {_HOW}")
    return sent[0] if sent else None


def _bearer(value: str) -> str:
    if value.startswith(_BEARER):  # nearly always
        return value[len(_BEARER) :].strip()
    scheme, _, credential = value.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated(f"'Authorization' is of a kind that is not known here; {_HOW}")
    return credential.strip()


def _refused(caller: Caller, operation: str, model: str) -> Unauthenticated | PermissionDenied:
    verb = OPERATIONS[operation].verb
    what = f"'{verb}' on model '{model}'" if model else f"'{verb}'"
    if caller.principal is ANONYMOUS:
        return Unauthenticated(f"{what} needs a credential; {_HOW}")
    return PermissionDenied(f"'{caller.principal.name}' may not do {what}: none of its scopes permits it")
