"""What the index says of a model's versions after each thing that can happen to them. Pure."""

from collections.abc import Collection, Mapping
from typing import Final

from onnxd.errors import ServerError
from onnxd.repository.catalog import IndexEntry, ModelState, VersionState
from onnxd.repository.history import Generation
from onnxd.repository.layout import ModelFiles
from onnxd.repository.version_policy import VersionPolicy

_UNTIL: Final = "which is not loaded again before they change or somebody loads the model"


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


def rolled_back(
    generation: Generation, known: Collection[int], rejected: Generation | None
) -> dict[int, VersionState]:
    """`known`: the versions that the index had; `rejected`: what the files hold, if that was taken back."""
    if rejected is None:
        states = dict.fromkeys(generation.versions, VersionState(ModelState.READY))
    else:
        text = f"rolled back to {generation}; the files in the repository hold {rejected}, {_UNTIL}"
        states = dict.fromkeys(generation.versions, VersionState(ModelState.READY, text))
    gone = VersionState(ModelState.UNAVAILABLE, f"rolled back to {generation}")
    return dict.fromkeys(known, gone) | states


def served_last(
    files: ModelFiles, generation: Generation, failures: Collection[ServerError]
) -> dict[int, VersionState]:
    """At a start: the files do not load, and what served before the server stopped does in their place."""
    reason = "; ".join(error.message for error in failures)
    states = {number: VersionState(ModelState.UNAVAILABLE, reason) for number in files.versions}
    text = f"its files do not load, {generation} serves as it did before the server was started: {reason}"
    return states | dict.fromkeys(generation.versions, VersionState(ModelState.READY, text))


def _ready_despite(reason: str) -> VersionState:
    return VersionState(ModelState.READY, f"its newer files do not load, the old ones serve: {reason}")


def _describe(policy: VersionPolicy) -> str:
    if policy.only:
        return f"[{', '.join(map(str, policy.only))}]"
    return "all" if policy.latest is None else f"{{latest: {policy.latest}}}"
