"""What to do about a settled repository, given what was done before. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from onnxd.repository.settle import SettledRepository


@dataclass(frozen=True, slots=True)
class CurrentModel:
    """What the lifecycle remembers of one model."""

    attempted: str
    """Key of the files that were last loaded, or that failed to: they are not tried again until they change.
    Of a model unloaded by name: the key of its files at that moment. Empty = nothing was tried yet."""
    refused: str = ""
    """The reason that was last given for not looking at its files; empty = none stands."""


@dataclass(frozen=True, slots=True)
class Load:
    """Load, or load again, what the model's settled files hold. What serves keeps serving meanwhile."""

    name: str
    key: str
    """Of the files meant; becomes the model's `attempted`, whatever comes of it."""
    reason: str


@dataclass(frozen=True, slots=True)
class Unload:
    """The model is gone from the repository: drain it, let it go, forget it."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Its files cannot be loaded as they are: say why. What serves keeps serving; `attempted` stays."""

    name: str
    reason: str


Step = Load | Unload | Refuse
"""Plain values, fit to be sent to another process."""


def plan(seen: SettledRepository, current: Mapping[str, CurrentModel]) -> tuple[Step, ...]:
    """Steps for the models that differ from what the lifecycle remembers, removals first, each by name.

    Planning again after the steps were taken gives no steps.
    """
    unloads: list[Step] = [
        Unload(name, "its directory is gone from the repository")
        for name in sorted(current)
        if name not in seen.models and name not in seen.undecided
    ]
    others: list[Step] = []
    for name in sorted(seen.models):
        model = seen.models[name]
        known = current.get(name)
        if model.fault:
            if known is None or known.refused != model.fault:
                others.append(Refuse(name, model.fault))
        elif known is None or not known.attempted:
            others.append(Load(name, model.key, "it is new"))
        elif known.attempted != model.key:
            others.append(Load(name, model.key, "its files have changed"))
        elif known.refused:
            others.append(Load(name, model.key, "its files can be read again"))
    return (*unloads, *others)
