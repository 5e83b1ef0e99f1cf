"""Quantities as people write them: durations with a unit ("5ms"), sizes with a unit ("256MiB").

The annotated types are for config dataclasses that pydantic validates: the value is a plain float of
seconds or int of bytes, and the type's name carries the unit.
"""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(us|µs|ms|s|m|h)")
_DURATION_SECONDS: Final = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATIONS: Final = ((3600.0, "h"), (60.0, "m"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
_SIZES: Final = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_LONGEST_S: Final = 366 * 86400.0
_LARGEST_BYTES: Final = 2**60
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|KiB|MiB|GiB)")
_SIZE_BYTES: Final = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}


def parse_duration_s(value: object) -> float:
    """Seconds of "5ms", "1.5s", "2m". Raises ValueError for a number without a unit: 5 of what?

    Floats pass, so that a default given in code (already seconds) stays what it is.
    """
    if isinstance(value, float):
        return value
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        seconds = float(match[1]) * _DURATION_SECONDS[match[2]]
        if seconds <= _LONGEST_S:
            return seconds
        raise ValueError(f"expected a duration of at most a year, got {value[:40]!r}")
    raise ValueError(f"expected a duration with a unit (us, ms, s, m, h), such as '5ms', got {value!r}")


def parse_size_bytes(value: object) -> int:
    """Bytes of "64MiB", "10KB", "512B"; -1 = no limit. Raises ValueError for any other bare number."""
    if value == -1 or value == "-1":
        return -1
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        size = float(match[1]) * _SIZE_BYTES[match[2]]
        if size <= _LARGEST_BYTES:
            return int(size)
        raise ValueError(f"expected a size of at most 2**60 bytes, got {value[:40]!r}")
    raise ValueError(f"expected a size with a unit (B, KiB, MiB, GiB), such as '64MiB', got {value!r}")


def size_text(size_bytes: int) -> str:
    """For people: three digits at most, 12.3 MiB or 512 KiB."""
    size, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 999.5:
            break
        size, unit = size / 1024, larger
    return f"{size:.3g} {unit}"


def duration(seconds: float) -> str:
    """In the largest unit that leaves a whole number: 1800.0 -> 30m."""
    if seconds == 0:
        return "0s"
    for unit_s, name in _DURATIONS:
        count = seconds / unit_s
        if round(count) >= 1 and abs(count - round(count)) < 1e-9 * count:
            return f"{round(count)}{name}"
    return f"{seconds:.9f}".rstrip("0") + "s"


def bytes_of(size: int) -> str:
    """In the largest unit that leaves a whole number: 67108864 -> 64MiB; -1 (no limit) as it is."""
    for unit, name in _SIZES:
        if size > 0 and size % unit == 0:
            return f"{size // unit}{name}"
    return str(size) if size <= 0 else f"{size}B"


Seconds = Annotated[
    float,
    BeforeValidator(parse_duration_s),
    WithJsonSchema({"type": "string", "pattern": rf"^{_DURATION.pattern}$", "examples": ["5ms", "30s"]}),
]
"""A duration in seconds; written with a unit in files, environment and flags."""

Bytes = Annotated[
    int,
    BeforeValidator(parse_size_bytes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": rf"^{_SIZE.pattern}$", "examples": ["64MiB"]},
                {"type": "integer", "minimum": -1},
            ]
        }
    ),
]
"""A size in bytes; written with a unit, -1 = no limit where the setting says so."""
