"""J18: a server that others can reach does not start with admin operations open to everybody."""

from pathlib import Path

import pytest

from onnxd.security.config import AuthConfig
from onnxd.settings.rules import contradictions
from onnxd.settings.server_settings import ServerSettings

KEYS = AuthConfig(keys_file=Path("keys.json"))
RESTRICTED = AuthConfig(restricted_api={"model-repository+trace": "k:v", "logging": "k:v"})


def told(settings: ServerSettings) -> list[str]:
    return [text for _, _, text in contradictions(settings)]


@pytest.mark.parametrize("host", ["::", "198.51.100.7", "192.168.1.5", "example.org"])
def test_J18_an_open_server_for_all_does_not_start(host: str) -> None:
    (text,) = told(ServerSettings(host=host))
    assert text.startswith(
        f"{host} can be reached from other machines, and whoever does could load and unload"
    )
    assert "onnxd keys add" in text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_J18_an_open_server_for_this_machine_starts(host: str) -> None:
    assert told(ServerSettings(host=host)) == []


@pytest.mark.parametrize(
    "settings",
    [
        ServerSettings(host="::", auth=KEYS),
        ServerSettings(host="::", auth=RESTRICTED),
        ServerSettings(host="::", insecure=True),
        ServerSettings(host="::", model_control_api=False, settings_api=False),
        ServerSettings(host="::", model_control="none", settings_api=False),
    ],
    ids=["keys", "restricted", "insecure", "switched-off", "none"],
)
def test_J18_a_closed_server_for_all_starts(settings: ServerSettings) -> None:
    assert told(settings) == []


def test_J18_what_is_still_open_is_named() -> None:
    (text,) = told(ServerSettings(host="::", model_control_api=False))
    assert "could change trace and log settings;" in text
