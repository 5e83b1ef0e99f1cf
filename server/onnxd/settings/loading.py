"""Puts the sources together: flag over environment over file over default."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from onnxd.settings.environment import from_environment
from onnxd.settings.file import from_file
from onnxd.settings.given import Given, Raw, from_words
from onnxd.settings.names import CONFIG_VARIABLE
from onnxd.settings.rules import contradictions
from onnxd.settings.server_settings import ServerSettings
from onnxd.settings.table import SettingPath, settings_by_path

DEFAULT: Final = "default"
"""The origin of what nobody has said."""


class FaultySettings(Exception):
    """The settings cannot be used. `faults` has a line for each reason; every source has been read."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings in force, and where each comes from."""

    settings: ServerSettings
    origins: Mapping[SettingPath, str]
    """For every setting: a file's line, a variable, a flag, or DEFAULT."""

    def value(self, path: SettingPath) -> object:
        value: Any = self.settings
        for name in path:
            value = getattr(value, name)
        return value


def load_settings(
    *, config: Path | None, environment: Mapping[str, str], flags: Mapping[SettingPath, Raw]
) -> LoadedSettings:
    """Read all sources and settle each setting. Raises FaultySettings with the faults of all of them.

    `config` None: the file that the environment names, if any. Relative paths in any source start from the
    working directory.
    """
    if config is None and (named := environment.get(CONFIG_VARIABLE)):
        config = Path(named)
    sources = (
        from_file(config) if config is not None else Given(),
        from_environment(environment),
        from_words(flags, {path: settings_by_path()[path].flag for path in flags}),
    )
    if faults := tuple(fault for source in sources for fault in source.faults):
        raise FaultySettings(faults)
    values: dict[SettingPath, object] = {}
    origins = dict.fromkeys(settings_by_path(), DEFAULT)
    for source in sources:
        values |= source.values
        origins |= source.origins
    loaded = LoadedSettings(_replaced(ServerSettings(), values), origins)
    if faults := tuple(_contradictions(loaded)):
        raise FaultySettings(faults)
    return loaded


def _contradictions(loaded: LoadedSettings) -> list[str]:
    """Each told by the one of the two settings that somebody has set."""
    lines = []
    for path, other, text in contradictions(loaded.settings):
        blamed = path if loaded.origins[path] != DEFAULT else other
        rest = other if blamed is path else path
        names = f"{'.'.join(rest)}, {loaded.origins[rest]}"
        lines.append(f"{loaded.origins[blamed]}: {'.'.join(blamed)}: {text} ({names})")
    return lines


def _replaced(config: Any, values: Mapping[SettingPath, object]) -> Any:
    """A frozen config with other values in it, at any depth."""
    changes: dict[str, object] = {}
    for name in {path[0] for path in values}:
        if (name,) in values:
            changes[name] = values[name,]
        else:
            below = {path[1:]: value for path, value in values.items() if path[0] == name}
            changes[name] = _replaced(getattr(config, name), below)
    return dataclasses.replace(config, **changes)
