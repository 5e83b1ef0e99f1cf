"""What the supervisor tells workers of the repository: which versions to build, and what of them serves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from onnxd.repository.catalog import ModelState, VersionState
from onnxd.repository.examined import Examined
from onnxd.repository.instances import Isolation
from onnxd.repository.loader import graph_file
from onnxd.repository.model_settings import ModelSettings
from onnxd.repository.row_proof import draft
from onnxd.repository.store import StoredFiles
from onnxd.runtime.row_verdict import verdict_from_json, verdict_to_json
from onnxd.runtime.trial_messages import TrialRequest, report_from_json, report_to_json


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


def examined_to_json(examined: Examined) -> dict[str, Any]:
    """Without what follows from the config and the graph."""
    return {
        "report": report_to_json(examined.report),
        "rows": None if examined.rows is None else verdict_to_json(examined.rows),
        "max_batch_size": examined.spec.max_batch_size,
        "warnings": list(examined.warnings),
        "isolation": [examined.isolation.reason, examined.isolation.warning, examined.isolation.lean],
    }


def examined_from_json(
    document: Mapping[str, Any], settings: ModelSettings, stored: StoredFiles, number: int, threads: int
) -> Examined:
    """For a worker, which trusts the supervisor. Raises LoadFailed."""
    report = report_from_json(document["report"])
    stated = settings.config.max_batch_size
    proven_rows = document["max_batch_size"] if stated is None else 0
    drafted = draft(settings.name, number, settings.loaded, report.graph, settings.labels, proven_rows)
    path = graph_file(stored.path, settings.loaded)
    request = TrialRequest(path, settings.config.session_config(), threads)
    reason, warning, lean = document["isolation"]
    return Examined(
        spec=drafted.spec,
        report=report,
        request=replace(request, warmup=drafted.plan.runs),
        warmup=drafted.plan,
        warnings=tuple(document["warnings"]),
        rows=None if document["rows"] is None else verdict_from_json(document["rows"]),
        isolation=Isolation(reason, warning, lean),
    )


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
