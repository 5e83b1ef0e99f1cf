"""Trace settings as both wires have them: texts, and lists of texts.

The keys are those of Triton's mode "opentelemetry". There is no file to be named or to be rotated, and so no
path that a client could choose.
"""

import re
from collections.abc import Mapping
from typing import Final

from onnxd.errors import MalformedPayload, NotSupported
from onnxd.protocol.wording import show
from onnxd.telemetry.trace_settings import TraceChange, TraceSettings

LEVEL: Final = "trace_level"
"""The one setting that is a list in JSON."""

_OFF: Final = "OFF"
_ON: Final = "TIMESTAMPS"
_LEVELS: Final = (_OFF, _ON, "TENSORS")
_MAX_RATE: Final = 2**32 - 1
_MAX_COUNT: Final = 2**31 - 1
_INTEGER: Final = re.compile(r"-?[0-9]{1,10}", re.ASCII)


def read_trace_settings(settings: Mapping[str, object]) -> TraceChange:
    """What an update asks for: values are texts, lists of texts, or None; None and an empty list clear.

    Keys that are none of those that can be changed are ignored, as Triton does: clients write back what they
    have read. Raises MalformedPayload, and NotSupported for a file and for what needs one.
    """
    if any(_texts("trace_file", settings.get("trace_file"))):
        raise NotSupported(
            "trace_file cannot be set over the network; traces go to the collector that the server was "
            "started with (setting tracing.endpoint)"
        )
    if _integer("log_frequency", settings.get("log_frequency"), 0, _MAX_RATE):
        raise NotSupported("log_frequency is not supported: traces go to a collector, not to files")
    change = TraceChange()
    if LEVEL in settings:
        change["on"] = _level(_texts(LEVEL, settings[LEVEL]))
    if "trace_rate" in settings:
        change["rate"] = _integer("trace_rate", settings["trace_rate"], 0, _MAX_RATE)
    if "trace_count" in settings:
        change["count"] = _integer("trace_count", settings["trace_count"], -1, _MAX_COUNT)
    return change


def trace_settings(settings: TraceSettings, model: str = "") -> dict[str, str]:
    """What holds for a model, or for all (""), and where traces go."""
    view = settings.view(model)
    return {
        LEVEL: _ON if view.on else _OFF,
        "trace_rate": str(view.rate),
        "trace_count": str(view.count),
        "trace_mode": "opentelemetry",
        **settings.collector,
    }


def _texts(key: str, value: object) -> list[str]:
    texts: list[str] = []
    for each in value if isinstance(value, list) else [] if value is None else [value]:
        if not isinstance(each, str):
            raise MalformedPayload(f"trace setting '{key}': expected text in quotes, got {show(each)}")
        texts.append(each)
    return texts


def _level(levels: list[str]) -> bool | None:
    for level in levels:
        if level not in _LEVELS:
            raise MalformedPayload(f"trace setting '{LEVEL}': expected {_OFF} or {_ON}, got {show(level)}")
    if "TENSORS" in levels:
        raise NotSupported(
            f"trace level TENSORS is not supported: tensors are never part of a trace; use {_ON}"
        )
    if _OFF in levels and len(levels) > 1:
        raise MalformedPayload(f"trace setting '{LEVEL}': expected {_OFF} alone, or {_ON}")
    return _ON in levels if levels else None


def _integer(key: str, value: object, least: int, most: int) -> int | None:
    texts = _texts(key, value)
    if not texts:
        return None
    if len(texts) > 1:
        raise MalformedPayload(f"trace setting '{key}': expected one value, got {len(texts)}")
    if _INTEGER.fullmatch(texts[0]) is None or not least <= int(texts[0]) <= most:
        raise MalformedPayload(
            f"trace setting '{key}': expected a whole number from {least} to {most} as text, got "
            f"{show(texts[0])}"
        )
    return int(texts[0])
