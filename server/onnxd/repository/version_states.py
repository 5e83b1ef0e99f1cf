"""What the index says of a model's versions after each thing that can happen to them. Pure."""

from collections.abc import Collection, Mapping
from typing import Final

from onnxd.errors import ServerError
from onnxd.repository.catalog import IndexEntry, ModelState, VersionState
from onnxd.repository.layout import ModelFiles
from onnxd.repository.version_policy import VersionPolicy

UNLOADED: Final = VersionState(ModelState.UNAVAILABLE, "unloaded")


def never_loaded(model: ModelFiles) -> IndexEntry:
    """A model that nobody has asked for yet: its name, and why it could not be loaded if it could not."""
    state = ModelState.UNAVAILABLE if model.fault else None
    return IndexEntry(model.name, None, state, model.fault)


def while_loading(wanted: Collection[int], serving: Collection[int]) -> dict[int, VersionState]:
    """What serves does so until all that is wanted is up."""
    loading, ready = VersionState(ModelState.LOADING), VersionState(ModelState.READY)
    return {**dict.fromkeys(wanted, loading), **dict.fromkeys(serving, ready)}


def after_load(
    files: ModelFiles,
    wanted: Collection[int],
    served: Collection[int],
    failures: Mapping[int, ServerError],
    policy: VersionPolicy,
) -> dict[int, VersionState]:
    """`served` is what serves now: of the new files, or, where those failed, still of the old."""
    states = {
        number: VersionState(ModelState.UNAVAILABLE, f"not chosen by 'versions: {_describe(policy)}'")
        for number in files.versions
        if number not in wanted
    }
    states |= {
        number: VersionState(ModelState.UNAVAILABLE, error.message) for number, error in failures.items()
    }
    states |= dict.fromkeys(served, VersionState(ModelState.READY))
    states |= {
        number: _ready_despite(error.message) for number, error in failures.items() if number in served
    }
    return states


def unloadable(files: ModelFiles, serving: Collection[int], reason: str) -> dict[int, VersionState]:
    """Nothing of these files can be loaded; what serves keeps serving."""
    states = {number: VersionState(ModelState.UNAVAILABLE, reason) for number in files.versions}
    return states | dict.fromkeys(serving, _ready_despite(reason))


def _ready_despite(reason: str) -> VersionState:
    return VersionState(ModelState.READY, f"its newer files do not load, the old ones serve: {reason}")


def _describe(policy: VersionPolicy) -> str:
    if policy.only:
        return f"[{', '.join(map(str, policy.only))}]"
    return "all" if policy.latest is None else f"{{latest: {policy.latest}}}"
