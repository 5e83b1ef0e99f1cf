"""The generated pages: config/server.yaml and docs/settings.md."""

import re
from pathlib import Path

import pytest

from onnxd.settings.loading import load_settings
from onnxd.settings.pages import server_yaml, settings_page
from onnxd.settings.server_settings import ServerSettings
from onnxd.settings.table import settings_by_path

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("page", "text"),
    [("config/server.yaml", server_yaml()), ("docs/settings.md", settings_page())],
    ids=["config/server.yaml", "docs/settings.md"],
)
def test_the_committed_page_is_what_the_settings_say(page: str, text: str) -> None:
    assert (ROOT / page).read_text() == text, "run: python -m onnxd.settings"


def test_the_page_names_every_setting_with_its_flag_and_variable() -> None:
    page = settings_page()

    for setting in settings_by_path().values():
        assert f"| `{setting.name}` | `{setting.flag}` | `{setting.variable}` |" in page


def test_the_shipped_file_changes_nothing() -> None:
    loaded = load_settings(config=ROOT / "config" / "server.yaml", environment={}, flags={})

    assert loaded.settings == ServerSettings()


def test_the_shipped_file_with_every_key_uncommented_gives_the_defaults(tmp_path: Path) -> None:
    text = re.sub(r"^( *)#(\w+: .+)$", r"\1\2", server_yaml(), flags=re.MULTILINE)
    file = tmp_path / "server.yaml"
    file.write_text(text)

    loaded = load_settings(config=file, environment={}, flags={})

    assert loaded.settings == ServerSettings()
    given = [path for path, origin in loaded.origins.items() if origin.startswith(str(file))]
    assert given == [path for path, each in settings_by_path().items() if each.default is not None]


def test_no_line_is_too_long_to_read() -> None:
    assert max(map(len, server_yaml().splitlines())) <= 110
