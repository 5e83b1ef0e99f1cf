"""What an operator can set about how much each caller may ask."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Final

from annotated_types import Ge, Gt

from onnxd.errors import Quota

_MOST_TRACKED: Final = 10_000


class RateFault(ValueError):
    """A share that says nothing; the message has the mend."""


@dataclass(frozen=True, slots=True)
class RateConfig:
    """How much inference one caller may ask for: a principal, or an address that brings no credential."""

    per_second: Annotated[float, Ge(0)] = 0.0
    """Requests a second of one caller, on average; 0 = no limit."""
    burst: Annotated[int, Ge(0)] = 0
    """Requests of one caller that may come at once; 0 = as many as in a second."""
    max_in_flight: Annotated[int, Ge(0)] = 0
    """Requests of one caller in progress; 0 = no limit."""
    principals: dict[str, str] = field(default_factory=dict)
    """What holds instead for a principal, by name, such as per_second:50 burst:100 max_in_flight:8; what it
    does not name is as above."""
    models: dict[str, Annotated[int, Ge(0)]] = field(default_factory=dict)
    """Requests for a model in progress, whoever sends them, by the model's name; * = each model that is not
    named, 0 = no limit."""
    max_tracked: Annotated[int, Gt(0)] = _MOST_TRACKED
    """Callers that are remembered, principals and addresses each; the one longest unseen is forgotten."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one caller may ask; 0 = as much as it likes."""

    per_second: float = 0.0
    burst: int = 0
    max_in_flight: int = 0

    @property
    def unlimited(self) -> bool:
        return not self.per_second and not self.max_in_flight

    @property
    def tokens(self) -> int:
        """How many requests may come at once."""
        return self.burst or max(1, int(self.per_second))

    @property
    def quota(self) -> Quota:
        """The rate in whole requests and seconds: of the time in which an empty bucket is full again."""
        window_s = max(1, math.ceil(self.tokens / self.per_second))
        return Quota(max(1, int(self.per_second * window_s)), window_s)


_FIELDS: Final[Mapping[str, Callable[[str], float | int]]] = {
    "per_second": float,
    "burst": int,
    "max_in_flight": int,
}


def read_allowance(principal: str, text: str, otherwise: Allowance) -> Allowance:
    """From the setting of one principal. Raises RateFault."""
    changes: dict[str, float | int] = {}
    for word in text.split():
        name, _, number = word.partition(":")
        try:
            value = _FIELDS[name](number)
        except (KeyError, ValueError):
            value = -1
        if not 0 <= value < float("inf"):
            raise RateFault(
                f"rate.principals of '{principal}': expected words such as per_second:50, burst:100 and "
                f"max_in_flight:8, each with a number that is not negative, got {word[:80]!r}"
            )
        changes[name] = value
    if not changes:
        raise RateFault(f"rate.principals of '{principal}': expected words such as per_second:50, got none")
    return replace(otherwise, **changes)  # type: ignore[arg-type]  # each by its own reader
