"""The values of config.yaml that need more than a type: file names, providers, session options."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema

from onnxd.errors import LoadFailed
from onnxd.repository.document import shown
from onnxd.runtime.session_config import OPTIONS, check_options
from onnxd.units import Bytes, Seconds

MAX_LEVELS: Final = 1000
"""Of priority."""

ProviderEntry = str | dict[str, dict[str, str | int | float | bool]]
"""An execution provider's name, or {name: {option: value}}."""

_FILE_NAME: Final = r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"
_MAX_FILE_NAME: Final = 200
_MAX_QUANTITY: Final = 32
_DAY_S: Final = 86_400.0
_LEVEL: Final = r"[1-9][0-9]{0,2}|1000"
_PROVIDER_NAME: Final = r"[A-Za-z][A-Za-z0-9]{0,63}"


def check_file_name(name: str) -> str:
    """A file's name in the model's directory. Raises ValueError for anything that could lead elsewhere."""
    if len(name) > _MAX_FILE_NAME or re.fullmatch(_FILE_NAME, name) is None:
        raise ValueError(
            "expected a plain file name without a directory (letters, digits, '_', '-', single dots), "
            f"got '{shown(name)}'"
        )
    return name


def check_session_option(name: str) -> str:
    """Raises ValueError for a session config entry that the runtime does not take from a model's config."""
    try:
        check_options({name: ""})
    except LoadFailed as error:
        raise ValueError(error.message) from error
    return name


def check_level(level: str) -> str:
    """A priority as a key. Raises ValueError."""
    if re.fullmatch(_LEVEL, level) is None:
        raise ValueError(f"expected a priority level from 1 to {MAX_LEVELS}, got '{shown(level)}'")
    return level


def parse_provider(value: Any) -> ProviderEntry:
    """One item of `providers`. Raises ValueError that says what was expected.

    Which providers there are, and which options each takes, is for the runtime to say when it loads.
    """
    if isinstance(value, str):
        return _provider_name(value)
    if isinstance(value, dict) and len(value) == 1:
        name, options = next(iter(value.items()))
        if isinstance(options, dict):
            for option, setting in options.items():
                if not isinstance(setting, str | int | float | bool):  # TypeError is no fault to pydantic
                    raise ValueError(  # noqa: TRY004
                        f"expected the option {option} to be text, a number, true, or false"
                    )
            return {_provider_name(name): options}
    raise ValueError("expected a provider's name, or {name: {option: value}}")


def _provider_name(name: str) -> str:
    if re.fullmatch(_PROVIDER_NAME, name) is None:
        raise ValueError(f"expected a provider's name such as CPUExecutionProvider, got '{shown(name)}'")
    return name


def _short(value: Any) -> Any:
    """Before the units are read: hundreds of digits overflow there."""
    if isinstance(value, str) and len(value) > _MAX_QUANTITY:
        raise ValueError(f"expected a number with its unit, got '{shown(value)}'")
    return value


def _some_bytes(value: int) -> int:
    if value == 0:
        raise ValueError("expected a size of at least 1B, or -1 for no bound, got 0")
    return value


def _at_most_a_day(value: float) -> float:
    if value > _DAY_S:
        raise ValueError("expected a duration of at most 24h")
    return value


def _off(value: Any) -> Any:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


FileName = Annotated[
    str,
    AfterValidator(check_file_name),
    Field(json_schema_extra={"pattern": f"^{_FILE_NAME}$", "maxLength": _MAX_FILE_NAME}),
]
SessionOptions = Annotated[
    dict[Annotated[str, AfterValidator(check_session_option)], str],
    Field(json_schema_extra={"propertyNames": {"enum": sorted(OPTIONS)}}),
]
Level = Annotated[str, AfterValidator(check_level)]
LEVELS_AS_KEYS: Final = Field(json_schema_extra={"propertyNames": {"pattern": f"^({_LEVEL})$"}})
SomeBytes = Annotated[Bytes, BeforeValidator(_short), AfterValidator(_some_bytes)]
Duration = Annotated[Seconds, BeforeValidator(_short), AfterValidator(_at_most_a_day)]
Verification = Annotated[Literal["auto", "strict", "off"], BeforeValidator(_off)]
Provider = Annotated[
    ProviderEntry,
    PlainValidator(parse_provider),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_PROVIDER_NAME}$", "examples": ["CPUExecutionProvider"]},
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": {
                        "type": "object",
                        "additionalProperties": {"type": ["string", "number", "boolean"]},
                    },
                },
            ]
        }
    ),
]
