"""The commands read the environment; what a developer has set there is none of the tests' business."""

import os

import pytest

from onnxd.settings.names import VARIABLE_PREFIX


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tuple(os.environ):
        if name.startswith(VARIABLE_PREFIX):
            monkeypatch.delenv(name)
