"""What was found of the independence of rows, kept over restarts: a model whose content is known is not
probed again, and what clients see of it does not change between two starts."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from onnxd.repository.notes import Notes
from onnxd.runtime.ort import onnxruntime
from onnxd.runtime.row_inquiry import METHOD
from onnxd.runtime.row_verdict import Verdict, verdict_from_json, verdict_to_json
from onnxd.runtime.session_config import SessionConfig

_DIRECTORY: Final = "verdicts"
_MOST_BYTES: Final = 2**20


class VerdictFiles:
    """Notes under `<state_dir>/verdicts`, the newest thousand of them. Its methods block on the disk."""

    def __init__(self, state_dir: Path, most: int = 1000) -> None:
        self._notes = Notes(state_dir / _DIRECTORY, most=most, most_bytes=_MOST_BYTES)

    def recall(self, digest: str, question: Mapping[str, Any]) -> Verdict | None:
        """What was remembered under the same digest and question; None for a file that says anything else."""
        document = self._notes.read(_key(digest, question))
        try:
            if document["digest"] != digest or document["question"] != dict(question):
                return None
            return verdict_from_json(document["verdict"])
        except (ValueError, TypeError, KeyError):
            return None

    def remember(self, digest: str, question: Mapping[str, Any], verdict: Verdict) -> None:
        """Replaces what is there."""
        document = {"digest": digest, "question": dict(question), "verdict": verdict_to_json(verdict)}
        self._notes.write(_key(digest, question), document)


def _key(digest: str, question: Mapping[str, Any]) -> str:
    return json.dumps([digest, dict(question)], sort_keys=True)


class NoVerdicts:
    """Remembers nothing."""

    def recall(self, digest: str, question: Mapping[str, Any]) -> Verdict | None:
        return None

    def remember(self, digest: str, question: Mapping[str, Any], verdict: Verdict) -> None:
        return None


def verdict_digest(content: str, file: str, session: SessionConfig) -> str:
    """Of all that a verdict depends on: the files by their digest, which of them is the graph, how it is run,
    by which runtime, and how it was examined."""
    parts = [content, file, asdict(session), onnxruntime.__version__, METHOD]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
