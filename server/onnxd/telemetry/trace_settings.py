"""Which requests are traced, as clients may change it while the server runs: for all models, and for one.

A model's own value goes before the value for all models, and that before the one from the start; clearing a
value brings back the next. Only the event loop's thread may touch this.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypedDict

import structlog

from onnxd.errors import InvalidRequest
from onnxd.telemetry.sampling import gaps_at_random

_log = structlog.get_logger(__name__)


class TraceChange(TypedDict, total=False):
    """What an update mentions. None clears."""

    on: bool | None
    rate: int | None
    """Trace one in so many of the requests that bring no trace of their own; 0 = none of them."""
    count: int | None
    """Begin so many traces, then no more; -1 = without end."""


@dataclass(frozen=True, slots=True)
class TraceView:
    """What holds now for one model, or for all."""

    on: bool
    rate: int
    count: int
    """How many may still begin; -1 = any number."""


@dataclass(slots=True, eq=False)
class Rate:
    """Whose turn it is. Counted down, not drawn for each request: nearly all are passed by."""

    shown: int
    gap: Callable[[], int]
    """How many requests are passed by before the next one."""
    left: int
    """How many still are."""

    def due(self) -> bool:
        """Whether it is the next request's turn: call this once for each."""
        if self.left:
            self.left -= 1
            return False
        self.left = self.gap()
        return True


@dataclass(slots=True, eq=False)
class _Budget:
    """How many traces may still begin; -1 = any number."""

    left: int


@dataclass(frozen=True, slots=True)
class _Wish:
    """What clients have set, for all models or for one; None = not set."""

    on: bool | None = None
    rate: Rate | None = None
    budget: _Budget | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    """What holds. Rules that take a rate or a budget from the same wish share it, and count together."""

    on: bool
    rate: Rate
    budget: _Budget

    def under(self, wish: _Wish) -> "_Rule":
        """This rule where the wish says nothing."""
        return _Rule(
            self.on if wish.on is None else wish.on, wish.rate or self.rate, wish.budget or self.budget
        )

    @property
    def view(self) -> TraceView:
        return TraceView(self.on, self.rate.shown, self.budget.left)


class TraceSettings:
    """Decides for each request whether it is traced, at the price of a few look-ups."""

    def __init__(self, share: float = 1.0, collector: Mapping[str, str] | None = None) -> None:
        """`share` of the requests is traced until somebody changes it. `collector` tells clients where
        traces go; None = nowhere, and nothing can be switched on."""
        self.collector: Final[Mapping[str, str]] = collector or {}
        self._available = collector is not None
        self._start = _Rule(self._available, _share(share), _Budget(-1))
        self._overall_wish = _Wish()
        self._wishes: dict[str, _Wish] = {}
        self._overall = self._start
        self._rules: dict[str, _Rule] = {}
        self.on = self._available
        """Whether any request may be traced at all: look here first, it costs nothing."""
        self.common: Rate | None = self._start.rate if self._available else None
        """What decides of all models alike, without a number of traces after which it ends; None = not so."""

    def admits(self, model: str, *, forced: bool) -> bool:
        """Whether a request is to be traced; this counts, so ask once for each.

        `forced`: its caller traces it, which goes before rate and count, but not before "off".
        """
        rule = self._rules.get(model, self._overall)
        if forced or not rule.on:
            return rule.on
        budget = rule.budget
        if not budget.left or not rule.rate.due():
            return False
        if budget.left > 0:
            budget.left -= 1
        return True

    def follows(self, model: str) -> bool:
        """Whether requests for a model may be traced at all."""
        return self._rules.get(model, self._overall).on

    def view(self, model: str = "") -> TraceView:
        """What holds for a model; "" = for those without settings of their own."""
        return self._rules.get(model, self._overall).view

    def update(self, change: TraceChange, model: str = "") -> None:
        """Change what is mentioned, for a model or for all (""). A model that leaves the repository keeps
        its settings for when it comes back.

        Raises InvalidRequest for what could have no effect, because there is no collector.
        """
        self._check(change, self.view(model))
        if model:
            wish = _changed(self._wishes.get(model, _Wish()), change)
            self._wishes[model] = wish
            if wish == _Wish():
                del self._wishes[model]
        else:
            self._overall_wish = _changed(self._overall_wish, change)
        self._overall = self._start.under(self._overall_wish)
        self._rules = {name: self._overall.under(wish) for name, wish in self._wishes.items()}
        self.on = self._overall.on or any(rule.on for rule in self._rules.values())
        alike = self._overall.on and not self._rules and self._overall.budget.left < 0
        self.common = self._overall.rate if alike else None
        _log.info("trace settings changed", model=model or "all", **change)

    def _check(self, change: TraceChange, now: TraceView) -> None:
        # What is read may be written back; clients do.
        same = (
            change.get("on") in (None, now.on)
            and change.get("rate") in (None, now.rate)
            and change.get("count") in (None, now.count)
        )
        if not (same or self._available):
            raise InvalidRequest(
                "tracing cannot be switched on: this server was started without a collector to send traces "
                "to; start it with the setting tracing.endpoint"
            )


def _changed(wish: _Wish, change: TraceChange) -> _Wish:
    on, rate, budget = wish.on, wish.rate, wish.budget
    if "on" in change:
        on = change["on"]
    if "rate" in change:
        rate = None if change["rate"] is None else _one_in(change["rate"])
    if "count" in change:
        budget = None if change["count"] is None else _Budget(change["count"])
    return _Wish(on, rate, budget)


def _one_in(number: int) -> Rate:
    """Every so manieth request, the first of them after that many."""
    if number == 0:
        return _never()
    return Rate(number, lambda: number - 1, number - 1)


def _share(share: float) -> Rate:
    """Requests at random, so that a pattern in the traffic is not taken for all of it."""
    if share >= 1.0:
        return Rate(1, lambda: 0, 0)
    gaps = gaps_at_random(share)
    return Rate(max(2, round(1 / share)), gaps, gaps()) if gaps else _never()


def _never() -> Rate:
    return Rate(0, lambda: sys.maxsize, sys.maxsize)
