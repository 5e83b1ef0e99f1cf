"""What an examination has found, as JSON: for the workers, and for the next start of the server."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from onnxd.repository.examined import Examined
from onnxd.repository.instances import Isolation
from onnxd.repository.model_file import graph_file
from onnxd.repository.model_settings import ModelSettings
from onnxd.repository.row_proof import draft
from onnxd.repository.store import StoredFiles
from onnxd.runtime.row_verdict import verdict_from_json, verdict_to_json
from onnxd.runtime.trial_messages import TrialRequest, report_from_json, report_to_json


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
    """The inverse, with the settings and files that it was of. Raises LoadFailed, and KeyError, TypeError or
    ValueError for a document that is none."""
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
