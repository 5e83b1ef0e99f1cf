"""How values of a request appear in messages: short, on one line, without control characters."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

_LONGEST: Final = 64
_MOST_NAMES: Final = 16
_MOST_DIMS: Final = 32


def show(value: object) -> str:
    """A decoded JSON or parameter value, as its sender would recognise it.

    Text is cut to 64 characters and its unprintable characters are escaped, so that a message cannot forge
    a second line in a log. Arrays and objects are named, not printed.
    """
    match value:
        case str():
            return repr(value) if len(value) <= _LONGEST else f"{value[:_LONGEST]!r}..."
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            # str() of an int beyond 4,300 digits raises.
            return str(value) if value.bit_length() <= 128 else "an integer of more than 128 bits"
        case float():
            return repr(value)
        case bytes() | memoryview():
            return f"{len(value)} bytes"
        case list():
            return "an array"
        case dict():
            return "an object"
        case _:
            return f"a {type(value).__name__}"


def show_shape(shape: Iterable[object]) -> str:
    """[1,64] as Triton writes it."""
    dims = list(shape)
    shown = ",".join(map(show, dims[:_MOST_DIMS]))
    return f"[{shown},...]" if len(dims) > _MOST_DIMS else f"[{shown}]"


def show_names(names: Iterable[str]) -> str:
    """'a', 'b', and how many more there are."""
    every = list(names)
    shown = ", ".join(map(show, every[:_MOST_NAMES]))
    if not every:
        return "none"
    return shown if len(every) <= _MOST_NAMES else f"{shown} and {len(every) - _MOST_NAMES} more"


def nearest(name: str, known: Sequence[str]) -> str:
    """A question in brackets, with a space before it; nothing when no known name is near."""
    # The cut bounds the time: the comparison is quadratic in length.
    found = difflib.get_close_matches(name[:128], known[:256], n=1, cutoff=0.6)
    return f" (did you mean {show(found[0])}?)" if found else ""
