"""Log settings as both wires have them."""

from collections.abc import Mapping
from typing import Final

from onnxd.errors import MalformedPayload, NotSupported
from onnxd.protocol.wording import show
from onnxd.telemetry.log_settings import LogChange, LogView

_MAX_VERBOSE_LEVEL: Final = 2**32 - 1


def read_log_settings(settings: Mapping[str, object]) -> LogChange:
    """What an update asks for; None leaves a setting as it is, and so does what is not mentioned.

    Other keys are ignored, as Triton does. Raises MalformedPayload, and NotSupported for a file.
    """
    if settings.get("log_file") not in (None, ""):
        raise NotSupported(
            "log_file cannot be set over the network; the server logs to its standard error, which whoever "
            "starts it can send anywhere"
        )
    given = {key: value for key, value in settings.items() if value is not None}
    change = LogChange()
    if "log_info" in given:
        change["info"] = _boolean("log_info", given["log_info"])
    if "log_warning" in given:
        change["warning"] = _boolean("log_warning", given["log_warning"])
    if "log_error" in given:
        change["error"] = _boolean("log_error", given["log_error"])
    if "log_verbose_level" in given:
        change["verbose_level"] = _verbose_level(given["log_verbose_level"])
    match given.get("log_format"):
        case None:
            pass
        case "default" | "ISO8601" as form:
            change["format"] = form
        case other:
            raise MalformedPayload(
                f"log setting 'log_format': expected 'default' or 'ISO8601', got {show(other)}"
            )
    return change


def log_settings(view: LogView) -> dict[str, bool | int | str]:
    """What holds. The file is always "": there is none."""
    return {
        "log_file": "",
        "log_info": view.info,
        "log_warning": view.warning,
        "log_error": view.error,
        "log_verbose_level": view.verbose_level,
        "log_format": view.format,
    }


def _boolean(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise MalformedPayload(f"log setting '{key}': expected true or false, got {show(value)}")
    return value


def _verbose_level(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_VERBOSE_LEVEL:
        raise MalformedPayload(
            f"log setting 'log_verbose_level': expected a whole number from 0 to {_MAX_VERBOSE_LEVEL}, got "
            f"{show(value)}"
        )
    return value
