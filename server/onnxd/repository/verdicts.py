"""What was found of the independence of rows, kept over restarts: a model whose content is known is not
probed again, and what clients see of it does not change between two starts."""

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import structlog

from onnxd.runtime.ort import onnxruntime
from onnxd.runtime.row_inquiry import METHOD
from onnxd.runtime.row_verdict import Verdict, verdict_from_json, verdict_to_json
from onnxd.runtime.session_config import SessionConfig

_DIRECTORY: Final = "verdicts"
_NAME: Final = re.compile(r"[0-9a-f]{64}\.json")
_MOST_BYTES: Final = 2**20
_PARTIAL: Final = ".partial-"

_log = structlog.get_logger(__name__)


class VerdictFiles:
    """One small file a verdict under `<state_dir>/verdicts`, the newest thousand of them.

    Every method blocks on the disk and may be called from any thread. Nothing here fails a load: what cannot
    be read is found out again, and what cannot be written is not kept.
    """

    def __init__(self, state_dir: Path, most: int = 1000) -> None:
        self._directory = state_dir / _DIRECTORY
        self._most = most

    def recall(self, digest: str, question: Mapping[str, Any]) -> Verdict | None:
        """What was remembered under the same digest and question; None for a file that says anything else."""
        path = self._path(digest, question)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                content = file.read(_MOST_BYTES)
            document = json.loads(content)
            if document["digest"] != digest or document["question"] != dict(question):
                return None
            verdict = verdict_from_json(document["verdict"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return verdict

    def remember(self, digest: str, question: Mapping[str, Any], verdict: Verdict) -> None:
        """Replaces what is there."""
        path = self._path(digest, question)
        document = {"digest": digest, "question": dict(question), "verdict": verdict_to_json(verdict)}
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            descriptor, draft = tempfile.mkstemp(prefix=_PARTIAL, dir=self._directory)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(document, file)
            Path(draft).rename(path)
            self._forget_oldest()
        except OSError as error:
            _log.warning("verdict not kept", reason=error.strerror)

    def _path(self, digest: str, question: Mapping[str, Any]) -> Path:
        key = json.dumps([digest, dict(question)], sort_keys=True).encode()
        return self._directory / f"{hashlib.sha256(key).hexdigest()}.json"

    def _forget_oldest(self) -> None:
        ages: list[tuple[float, str]] = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name) or entry.name.startswith(_PARTIAL):
                    with contextlib.suppress(FileNotFoundError):
                        ages.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
        for _, path in sorted(ages, reverse=True)[self._most :]:
            Path(path).unlink(missing_ok=True)


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
