"""The settings of a replica: those of a server, less what is Ray's there."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from onnxd.settings.loading import DEFAULT, FaultySettings, LoadedSettings, load_settings
from onnxd.settings.server_settings import ServerSettings
from onnxd.settings.table import SettingPath, settings_by_path

_LISTENERS: Final = "Ray's proxies listen; say it in http_options or grpc_options"
_ONE_OF_SEVERAL: Final = "a request reaches one replica, and the others would not know"
_RAYS: Final[Mapping[str, str]] = {
    "host": _LISTENERS,
    "insecure": _LISTENERS,
    "tls": "Ray's proxies speak without TLS; it ends in front of them",
    "workers": "the processes are Ray's; say num_replicas or autoscaling_config",
    "shared_memory": "clients are on other machines than replicas, and do not know which one answers",
    "metrics": "a scrape would reach any one replica; send metrics instead (metric_export)",
    "model_control_api": _ONE_OF_SEVERAL,
    "model_overrides": _ONE_OF_SEVERAL,
    "settings_api": _ONE_OF_SEVERAL,
    "http.port": _LISTENERS,
    "http.max_connections_per_address": _LISTENERS,
    "grpc": _LISTENERS,
    "identity.pod": "it is the replica's id",
}
_KEPT: Final = frozenset({"grpc.max_message", "grpc.max_stream_in_flight", "grpc.reflection"})
_ALLOWED_VALUES: Final[Mapping[str, object]] = {
    "model_control_api": False,
    "settings_api": False,
    "workers": 1,
    "shared_memory.enabled": False,
    "metrics.enabled": False,
    "model_overrides": False,
}
"""What replicas do in any case may be said."""


def replica_settings(arguments: Mapping[str, Any], environment: Mapping[str, str]) -> ServerSettings:
    """What an application's `args` and the variables ONNXD_... say. `arguments`: `config`, a settings file,
    and `settings`, by the names of `onnxd serve` in a file, with dots (`batching.default_max_batch_size`).

    Raises FaultySettings, with every fault.
    """
    unknown = sorted(set(arguments) - {"config", "settings"})
    if unknown:
        raise FaultySettings(tuple(f"args: {name}: expected 'config' or 'settings'" for name in unknown))
    named: Mapping[str, Any] = arguments.get("settings") or {}
    paths = {name: tuple(name.split(".")) for name in named}
    if strange := [name for name, path in paths.items() if path not in settings_by_path()]:
        raise FaultySettings(tuple(f"args: settings: {name}: there is no such setting" for name in strange))
    config = arguments.get("config")
    places = {settings_by_path()[path].flag: f"args: settings: {name}" for name, path in paths.items()}
    try:
        loaded = load_settings(
            config=Path(config) if config else None,
            environment=environment,
            flags={path: _word(named[name]) for name, path in paths.items()},
        )
    except FaultySettings as error:
        raise FaultySettings(tuple(_placed(fault, places) for fault in error.faults)) from error
    if faults := tuple(_not_here(loaded)):
        raise FaultySettings(tuple(_placed(fault, places) for fault in faults))
    settings = loaded.settings
    return replace(
        settings,
        model_control_api=False,
        settings_api=False,
        metrics=replace(settings.metrics, enabled=False),
    )


def _word(value: Any) -> Any:
    """A value of YAML as a command line would give it."""
    if isinstance(value, list):
        return [str(each) for each in value]
    return value if isinstance(value, bool) else str(value)


def _placed(fault: str, places: Mapping[str, str]) -> str:
    """A fault of a setting in `args`, which is told as a flag's, by where it was said."""
    flag, colon, rest = fault.partition(":")
    return f"{places.get(flag, flag)}{colon}{rest}"


def _not_here(loaded: LoadedSettings) -> Iterator[str]:
    for path, origin in loaded.origins.items():
        name = ".".join(path)
        if origin == DEFAULT or name in _KEPT or _is_allowed(name, loaded.value(path)):
            continue
        if reason := _reason(path):
            yield f"{origin}: {name} is not a replica's: {reason}"


def _is_allowed(name: str, value: object) -> bool:
    return name in _ALLOWED_VALUES and value == _ALLOWED_VALUES[name]


def _reason(path: SettingPath) -> str:
    return _RAYS.get(".".join(path), "") or _RAYS.get(path[0], "")
