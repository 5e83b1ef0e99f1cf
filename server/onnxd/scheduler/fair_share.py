"""How much of a model each of its callers gets while others wait for it too."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

from annotated_types import Ge, Le

_EACH_OTHER: Final = "*"


@dataclass(frozen=True, slots=True)
class FairnessConfig:
    """How a model that is busy is shared out. A caller is a principal; all without a credential are one."""

    weights: dict[str, Annotated[float, Ge(0.001), Le(1000)]] = field(default_factory=dict)
    """Shares of a busy model, by principal: of two that always wait, one with 3 gets three times the rows of
    one with 1. * = each that is not named, and is 1 unless said."""


class Weights:
    """The share of each principal."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights: Final = dict(weights)
        self._other: Final = self._weights.pop(_EACH_OTHER, 1.0)

    def of(self, name: str) -> float:
        return self._weights.get(name, self._other)


EQUAL: Final = Weights({})
