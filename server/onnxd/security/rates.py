"""How much each caller asks, and each model is asked. Both front ends hold a share while they work on an
inference request, from before its body is read or its message parsed.

    Rates.hold   -> Hold   of the caller, and of the model where the head of the request names it
    Hold.model             of the model, where only the message does
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from types import TracebackType
from typing import Final, NamedTuple

from onnxd.errors import Quota, RateLimited, Unavailable
from onnxd.messages import ANONYMOUS, Principal
from onnxd.security.rate_config import Allowance, RateConfig, read_allowance
from onnxd.security.token_bucket import Bucket

_UNKNOWN_S: Final = 1.0
"""When to come again, as long as nothing has ended whose time could say."""
_WEIGHT: Final = 0.2
"""Of the last request in the mean time of requests."""
_TRIES: Final = 8
_EACH_OTHER_MODEL: Final = "*"


class Left(NamedTuple):
    """What a caller may still ask, of a rate that it has."""

    quota: Quota
    requests: int
    """That it may send now."""
    full_in_s: float
    """When it may send as many at once as it ever may."""


class Share:
    """What one caller, or one model, has in progress."""

    __slots__ = ("bucket", "in_flight", "mean_s", "most", "quota")

    def __init__(self, most: int, bucket: Bucket | None = None, quota: Quota | None = None) -> None:
        """`most`: requests in progress; 0 = no limit. `bucket` None: no limit of rate. `quota`: what that
        comes to."""
        self.most: Final = most
        self.bucket: Final = bucket
        self.quota: Final = quota
        self.in_flight = 0
        self.mean_s = 0.0
        """How long its requests take; 0 = not known."""

    @property
    def is_full(self) -> bool:
        return 0 < self.most <= self.in_flight

    @property
    def next_end_s(self) -> float:
        """In how many seconds one of those in progress is likely to end."""
        return self.mean_s / self.in_flight if self.mean_s and self.in_flight else _UNKNOWN_S

    def end(self, took_s: float) -> None:
        self.in_flight -= 1
        self.mean_s = self.mean_s + _WEIGHT * (took_s - self.mean_s) if self.mean_s else took_s


class Hold:
    """The shares that one request holds, `with hold:`."""

    __slots__ = ("_began_s", "_rates", "_shares", "rated")

    def __init__(self, rates: "Rates | None", shares: list[Share], rated: Share | None = None) -> None:
        self.rated: Final = rated
        """The share of a caller that has a rate."""
        self._rates = rates
        self._shares = shares
        self._began_s = 0.0

    def model(self, name: str) -> None:
        """Hold a share of a model as well, for as long. Raises Unavailable when it has none left."""
        if self._rates is not None:
            share = self._rates.of_model(name)
            if share is not None:
                share.in_flight += 1
                self._shares.append(share)

    def __enter__(self) -> "Hold":
        if self._rates is not None:
            self._began_s = self._rates.now_s()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._rates is not None:
            took_s = self._rates.now_s() - self._began_s
            for share in self._shares:
                share.end(took_s)
            self._shares.clear()


NOTHING: Final = Hold(None, [])
"""What is held where nothing is limited."""


class Rates:
    """The shares of all callers and models. Only the loop's thread may touch it."""

    def __init__(self, config: RateConfig, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises RateFault. `clock`: seconds of a clock that only goes forward."""
        self.now_s: Final = clock
        self._usual: Final = Allowance(config.per_second, config.burst, config.max_in_flight)
        self._of: Final = {
            name: read_allowance(name, text, self._usual) for name, text in config.principals.items()
        }
        self._most_of_model: Final = config.models
        self._at_most: Final = config.max_tracked
        self._principals: OrderedDict[str, Share] = OrderedDict()
        self._addresses: OrderedDict[str, Share] = OrderedDict()
        self._models: dict[str, Share] = {}
        self.on: Final = bool(self._of or self._most_of_model or not self._usual.unlimited)
        """Whether anything is limited at all."""

    @property
    def tracked(self) -> int:
        """Callers that are remembered."""
        return len(self._principals) + len(self._addresses)

    def hold(self, principal: Principal, peer: str, model: str = "") -> Hold:
        """What a request holds of its caller, and of a model unless it is "" or not known yet.

        Raises RateLimited for a caller that has no share left, and Unavailable for a model. Nobody is
        charged for what is refused.
        """
        if not self.on:
            return NOTHING
        shares = []
        caller = self._of_caller(principal, peer)
        if caller is not None:
            if caller.is_full:
                raise RateLimited(
                    f"{_whose(principal)} {caller.in_flight} requests in progress, as many as it may "
                    "(rate.max_in_flight); wait for one to end",
                    retry_after_s=caller.next_end_s,
                )
            shares.append(caller)
        wanted = self.of_model(model) if model else None
        if wanted is not None:
            shares.append(wanted)
        rated = None
        if caller is not None and caller.bucket is not None:
            rated, wait_s = caller, caller.bucket.take(self.now_s())
            if wait_s > 0:
                raise RateLimited(
                    f"{_whose(principal)} asked more often than it may (rate.per_second, rate.burst); "
                    f"come again in {wait_s:.3g} s",
                    retry_after_s=wait_s,
                    quota=caller.quota,
                )
        for share in shares:
            share.in_flight += 1
        return Hold(self, shares, rated)

    def left(self, rated: Share | None) -> Left | None:
        """What the caller whose share it is may still ask now; None = it has no rate."""
        if rated is None or rated.bucket is None or rated.quota is None:
            return None
        now_s = self.now_s()
        return Left(rated.quota, rated.bucket.left(now_s), rated.bucket.full_in_s(now_s))

    def of_model(self, name: str) -> Share | None:
        """The share of a model, one of which is free; None = it is not limited. Raises Unavailable."""
        most = self._most_of_model.get(name)
        if most is None:
            most = self._most_of_model.get(_EACH_OTHER_MODEL, 0)
        if not most:
            return None
        share = self._models.get(name)
        if share is None:
            if len(self._models) >= self._at_most:  # names are the client's, and most of them no model's
                self._models = {known: each for known, each in self._models.items() if each.in_flight}
            share = self._models[name] = Share(most)
        if share.is_full:
            raise Unavailable(
                f"model '{name}' has {share.in_flight} requests in progress, as many as it may "
                "(rate.models); try again later",
                retry_after_s=share.next_end_s,
            )
        return share

    def _of_caller(self, principal: Principal, peer: str) -> Share | None:
        if principal is ANONYMOUS:
            table, name, allowed = self._addresses, network_of(peer), self._usual
        else:
            table, name = self._principals, principal.name
            allowed = self._allowed(principal)
        if allowed.unlimited:
            return None
        share = table.get(name)
        if share is not None:
            table.move_to_end(name)
            return share
        bucket = Bucket(allowed.per_second, allowed.tokens) if allowed.per_second else None
        quota = allowed.quota if allowed.per_second else None
        share = table[name] = Share(allowed.max_in_flight, bucket, quota)
        self._forget(table)
        return share

    def _allowed(self, principal: Principal) -> Allowance:
        return self._usual if principal is ANONYMOUS else self._of.get(principal.name, self._usual)

    def _forget(self, table: OrderedDict[str, Share]) -> None:
        """Keep a table at its bound. Who has requests in progress is not forgotten: for so many at most,
        and for as long, there is more than the bound."""
        for _ in range(_TRIES):
            if len(table) <= self._at_most:
                return
            name = next(iter(table))
            if table[name].in_flight:
                table.move_to_end(name)
            else:
                del table[name]


def network_of(peer: str) -> str:
    """Whom an address counts as: itself, or with IPv6 its network of 64 bits, as one host has all of that."""
    if ":" not in peer:
        return peer
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))


def _whose(principal: Principal) -> str:
    return "this address has" if principal is ANONYMOUS else f"'{principal.name}' has"
