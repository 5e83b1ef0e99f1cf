"""docs/object-storage.md says what is."""

import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from onnxd.repository.object_store.config import ObjectStoreConfig
from onnxd.repository.object_store.faults import CREDENTIALS, REASONS
from onnxd.repository.object_store.url import SCHEMES
from onnxd.settings.loading import load_settings
from onnxd.settings.table import settings_by_path
from tests.support.server import ROOT

PAGE: Final = (ROOT / "docs/object-storage.md").read_text()


def test_the_settings_of_the_page_are_the_defaults(tmp_path: Path) -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "server.yaml").write_text(block)
    loaded = load_settings(config=tmp_path / "server.yaml", environment={}, flags={})

    assert loaded.settings.object_store == ObjectStoreConfig()
    own = {path[1] for path in settings_by_path() if path[0] == "object_store"}
    assert own - set(re.findall(r"^  (\w+):", block, re.MULTILINE)) == {"cache_dir"}


@pytest.mark.parametrize("line", re.findall(r"^onnxd serve .*$", PAGE, re.MULTILINE))
def test_the_commands_of_the_page_are_taken(line: str) -> None:
    words = shlex.split(line)[2:]
    assert set(words[::2]) == {"--model-repository"}
    loaded = load_settings(config=None, environment={}, flags={("model_repository",): words[1::2]})

    assert "s3://models/team" in loaded.settings.model_repository


def test_every_reason_of_a_failure_and_every_variable_is_on_the_page() -> None:
    assert [reason for reason in REASONS if f"`{reason}`" not in PAGE] == []
    variables = re.findall(r"[A-Z]+_[A-Z_]+", " ".join(CREDENTIALS.values()))
    assert [name for name in variables if f"`{name}`" not in PAGE] == []
    assert [scheme for scheme in SCHEMES if f"`{scheme}://" not in PAGE] == []
