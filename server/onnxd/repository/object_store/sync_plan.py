"""What is to be done so that the local copy is what a listing says. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from onnxd.repository.object_store.listing import RemoteModel, RemoteRepository


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """Of one repository."""

    take: tuple[RemoteModel, ...]
    """Models that are new, or have changed."""
    remove: tuple[str, ...]
    """Models that are gone. One that is refused is not: what was copied of it stays."""
    emptied: bool = False
    """Nothing at all is there, and something was: far more often a mistake than a wish. Nothing is done."""

    @property
    def nothing(self) -> bool:
        return not self.take and not self.remove


def sync_plan(remote: RemoteRepository, local: Mapping[str, str]) -> SyncPlan:
    """`local`: the digest of each model that is copied."""
    if local and not remote.models and not remote.refused:
        return SyncPlan((), (), emptied=True)
    take = tuple(model for name, model in remote.models.items() if local.get(name) != model.digest)
    gone = sorted(local.keys() - remote.models.keys() - remote.refused.keys())
    return SyncPlan(take, tuple(gone))


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Of a plan, what a later listing bears out."""

    swap: tuple[RemoteModel, ...]
    remove: tuple[str, ...]
    moving: tuple[str, ...]
    """Models whose objects were others by then."""


def confirm(plan: SyncPlan, later: RemoteRepository) -> Confirmed:
    """`later` was taken after everything of the plan had been downloaded."""
    swap = tuple(
        model
        for model in plan.take
        if (again := later.models.get(model.name)) is not None and again.digest == model.digest
    )
    still_there = later.models.keys() | later.refused.keys()
    remove = tuple(name for name in plan.remove if name not in still_there) if still_there else ()
    settled = {model.name for model in swap} | set(remove)
    names = [*(model.name for model in plan.take), *plan.remove]
    return Confirmed(swap, remove, tuple(name for name in names if name not in settled))
