"""What serves now, and what every known version is up to.

Front ends read it; only the lifecycle writes it.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from onnxd.errors import ModelNotFound, ModelUnavailable
from onnxd.repository.memory_ledger import NOT_KNOWN, MemoryUse
from onnxd.repository.served import ServedVersion


class ModelState(enum.Enum):
    """The state of one version. Only READY serves; it may carry the reason why newer files failed."""

    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class VersionState:
    """A version's state and, where there is something to explain, why."""

    state: ModelState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One line of the repository index. `version` None: the model has no version to speak of (see reason);
    `state` None: it was never loaded."""

    name: str
    version: int | None
    state: ModelState | None
    reason: str = ""
    memory: MemoryUse = NOT_KNOWN


@dataclass(frozen=True, slots=True)
class _Model:
    """Replaced as a whole, never changed: a reader sees the old set or the new one."""

    served: Mapping[int, ServedVersion]
    states: Mapping[int, VersionState]
    trouble: str = ""
    """What is wrong with the model as a whole: a config that cannot be read, no version at all."""


_NOTHING = _Model(served={}, states={})

UNLOADED: Final = VersionState(ModelState.UNAVAILABLE, "unloaded")
ASLEEP: Final = VersionState(
    ModelState.UNAVAILABLE, "not loaded yet: the first request for the model loads it (setting lazy_load)"
)


def _is_unloaded(state: VersionState) -> bool:
    return state.state is ModelState.UNLOADING or state in (UNLOADED, ASLEEP)


class Catalog:
    """Names and versions -> what serves. One assignment per change, on the loop's thread."""

    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}

    def find(self, name: str, version: int | None) -> ServedVersion:
        """What serves under a name; None chooses the highest version that is READY. Whoever uses it over a
        wait holds it by a Lease. Raises ModelNotFound or ModelUnavailable.
        """
        model = self._models.get(name)
        if model is not None and model.served:
            served = model.served.get(max(model.served) if version is None else version)
            if served is not None and not served.broken:
                return served
            if version is None and (ready := _ready(model)):
                return model.served[max(ready)]
        raise self._why_not(name, version)

    def versions(self, name: str) -> tuple[int, ...]:
        """The READY versions, ascending. Raises ModelNotFound or ModelUnavailable if there are none."""
        ready = _ready(self._models.get(name, _NOTHING))
        if not ready:
            raise self._why_not(name, None)
        return tuple(sorted(ready))

    def serving(self, name: str) -> Mapping[int, ServedVersion]:
        """The READY versions by number, and those that have broken since; empty if there are none."""
        return self._models.get(name, _NOTHING).served

    def knows(self, name: str) -> bool:
        """Whether there is a model of that name, whether it serves or not."""
        return name in self._models

    def names(self) -> tuple[str, ...]:
        """Every known name, sorted, whether it serves or not."""
        return tuple(sorted(self._models))

    def index(self) -> Iterator[IndexEntry]:
        """Every known version of every known model: names sorted, versions ascending."""
        for name in self.names():
            model = self._models[name]
            if not model.states:
                state = ModelState.UNAVAILABLE if model.trouble else None
                yield IndexEntry(name, None, state, model.trouble)
            for version in sorted(model.states):
                known = _state(model, version)
                yield IndexEntry(name, version, known.state, known.reason or model.trouble)

    def sleeps(self, name: str) -> bool:
        """Whether the first request for a model will load it."""
        return ASLEEP in self._models.get(name, _NOTHING).states.values()

    def missing_of(self, names: Iterable[str]) -> str | None:
        """The first of these models that does not serve, whatever the reason; None = all do."""
        return next((name for name in names if not self.serving(name)), None)

    def missing(self) -> str | None:
        """A model that should serve and does not: it is loading, or has failed, and nothing older of it
        serves. None = there is none; a model that was unloaded by name should not, nor one that nobody has
        asked for yet, where the first request loads it."""
        for name, model in self._models.items():
            if not model.served and not (model.states and all(map(_is_unloaded, model.states.values()))):
                return name
        return None

    def states(self, name: str) -> tuple[Mapping[int, VersionState], str]:
        """What `note` was last told of a model."""
        model = self._models.get(name, _NOTHING)
        return model.states, model.trouble

    # Written by the lifecycle.

    def note(self, name: str, states: Mapping[int, VersionState], trouble: str = "") -> None:
        """Say what a model's versions are up to; what serves is not touched."""
        model = self._models.get(name, _NOTHING)
        self._models[name] = _Model(model.served, dict(states), trouble)

    def swap(
        self, name: str, served: Mapping[int, ServedVersion], states: Mapping[int, VersionState]
    ) -> tuple[ServedVersion, ...]:
        """Serve these versions from now on. Returns those that no longer serve; the caller retires them."""
        before = self._models.get(name, _NOTHING).served
        self._models[name] = _Model(dict(served), dict(states))
        kept = {id(version) for version in served.values()}
        return tuple(version for version in before.values() if id(version) not in kept)

    def conclude(self, name: str, version: int, state: VersionState, outcome: VersionState) -> None:
        """Replace a version's state by another, unless it has become a different one since."""
        model = self._models.get(name)
        if model is not None and model.states.get(version) is state:
            self._models[name] = replace(model, states={**model.states, version: outcome})

    def forget(self, name: str) -> None:
        """The model is no longer in the repository and nothing of it serves."""
        self._models.pop(name, None)

    def _why_not(self, name: str, version: int | None) -> ModelNotFound | ModelUnavailable:
        model = self._models.get(name)
        if model is None:
            return ModelNotFound(f"unknown model '{name}': it is not in the repository")
        states = {number: _state(model, number) for number in model.states}
        if version is None:
            if any(known.state is ModelState.LOADING for known in states.values()):
                return ModelUnavailable(f"model '{name}' is loading", retry_after_s=1.0)
            if any(known.state is ModelState.UNLOADING for known in states.values()):
                return ModelUnavailable(f"model '{name}' is being unloaded")
            reasons = [known.reason for known in states.values() if known.reason] or [model.trouble]
            return ModelUnavailable(
                f"model '{name}' has no version that serves: {reasons[-1] or 'not loaded'}"
            )
        known = states.get(version)
        if known is None:
            return ModelNotFound(
                f"unknown version {version} of model '{name}': "
                f"it serves {', '.join(map(str, sorted(model.served))) or 'none'}"
            )
        retry_after_s = 1.0 if known.state is ModelState.LOADING else None
        return ModelUnavailable(
            f"version {version} of model '{name}' is {known.state.value}"
            + (f": {known.reason}" if known.reason else ""),
            retry_after_s=retry_after_s,
        )


def _ready(model: _Model) -> tuple[int, ...]:
    """The versions that answer."""
    return tuple(number for number, served in model.served.items() if not served.broken)


def _state(model: _Model, version: int) -> VersionState:
    """What the lifecycle noted, unless the version has broken since; with why it is isolated, if it is."""
    known = model.states[version]
    served = model.served.get(version)
    if served is None or known.state is not ModelState.READY:
        return known
    if served.broken:
        return VersionState(ModelState.UNAVAILABLE, served.broken)
    return known if known.reason else VersionState(known.state, served.report.isolation)
