"""Counting what a real server does, without changing it."""

from pathlib import Path
from typing import Any

import pytest

from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.trial import TrialRoom


def count_trials(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each trial: a load makes two, to have a version described and to have it run."""
    trials: list[str] = []
    original = TrialRoom._try

    async def counted(self: TrialRoom, request: Any, *, run: bool) -> Any:
        trials.append(str(request.path))
        return await original(self, request, run=run)

    monkeypatch.setattr(TrialRoom, "_try", counted)
    return trials


def count_sessions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each session that is built in this process."""
    opened: list[str] = []
    original = OnnxSession.open

    def counted(path: Path, *more: Any) -> OnnxSession:
        opened.append(str(path))
        return original(path, *more)

    monkeypatch.setattr(OnnxSession, "open", counted)
    return opened
