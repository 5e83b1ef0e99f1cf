"""What the supervisor tells workers of the repository: which versions to build, and what of them serves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxd.repository.catalog import ModelState, VersionState


@dataclass(frozen=True, slots=True)
class Prepare:
    """A version that every worker is to build. The files are copies that the supervisor keeps meanwhile."""

    load: int
    """Like no other: under this number it is put into service, and let go of."""
    model: str
    version: int
    identity: str
    settings: str
    """Digest of the copy of what lies beside the versions."""
    settings_identity: str
    files: str
    """Digest of the copy of the version's files."""
    config: str | None
    """The config that a load call brought, in its place; None = the one beside the versions."""
    threads: int
    examined: Mapping[str, Any]
    """What its trial has shown."""


@dataclass(frozen=True, slots=True)
class ModelOrder:
    """All that the catalog says of a model."""

    name: str
    served: Mapping[int, int]
    """The load of each version that serves."""
    states: Mapping[int, tuple[str, str]]
    """State and reason of each known version."""
    trouble: str = ""


def states_to_json(states: Mapping[int, VersionState]) -> dict[int, tuple[str, str]]:
    return {number: (state.state.value, state.reason) for number, state in states.items()}


def states_from_json(states: Mapping[int, tuple[str, str]]) -> dict[int, VersionState]:
    return {number: VersionState(ModelState(state), reason) for number, (state, reason) in states.items()}


@dataclass(frozen=True, slots=True)
class Brought:
    """What a load call brought to a worker, on its way to the supervisor: files go by way of the disk."""

    config: str
    directory: str
    """Under the state directory."""
    files: Mapping[str, str]
    """The name that the call has for a file -> its name in the directory."""
