"""The last slow requests and the last errors of each model, in memory, to be looked at."""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from annotated_types import Interval

from onnxd.messages import Timeline
from onnxd.telemetry.slowness import Slowness
from onnxd.units import Seconds

MOST_MODELS: Final = 1024
"""Those that were first asked for longest ago are forgotten."""


@dataclass(frozen=True, slots=True)
class RecentConfig:
    """The last slow requests and errors of each model, which are kept to be looked at."""

    kept: Annotated[int, Interval(ge=0, le=1024)] = 32
    """How many slow ones and how many errors of each model; 0 = none."""
    slow: Seconds | None = None
    """From when on a request is slow; unset = when it takes longer than about 99 of 100 of its model's."""


@dataclass(frozen=True, slots=True)
class RecentRequest:
    """A request that is over."""

    ended_s: float
    """Seconds of the Unix epoch."""
    total_ns: int
    """From the head of the request to here."""
    timeline: Timeline
    operation: str
    status: int | str
    version: int | None
    request_id: str
    trace_id: str
    """Empty = its trace is not sent anywhere."""
    principal: str
    error: str = ""
    """Class and message; empty = it was answered."""


class RecentOfModel:
    """Of one model, the last ones last. Only the loop's thread may touch it."""

    __slots__ = ("errors", "slow", "slowness")

    def __init__(self, config: RecentConfig) -> None:
        self.slowness = Slowness(None if config.slow is None else round(config.slow * 1e9))
        self.slow: deque[RecentRequest] = deque(maxlen=config.kept)
        self.errors: deque[RecentRequest] = deque(maxlen=config.kept)


class Recent:
    """Of all models that there are."""

    def __init__(
        self, config: RecentConfig | None = None, known: Callable[[str], bool] = lambda _: True
    ) -> None:
        """`known`: whether there is such a model. Names that are merely asked for take up nothing."""
        self._config = config or RecentConfig()
        self._known = known
        self._models: OrderedDict[str, RecentOfModel] = OrderedDict()

    def of(self, model: str) -> RecentOfModel | None:
        """What is kept of a model; None = there is none of that name."""
        found = self._models.get(model)
        if found is None:
            if not self._known(model):
                return None
            found = self._models[model] = RecentOfModel(self._config)
            if len(self._models) > MOST_MODELS:
                self._models.popitem(last=False)
        return found

    def models(self) -> Mapping[str, RecentOfModel]:
        """All that something is kept of."""
        return self._models
