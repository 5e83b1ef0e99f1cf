"""What processes of one server say to each other, as JSON and back."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import orjson
from pydantic import TypeAdapter

from onnxd import errors
from onnxd.errors import ServerError

T = TypeVar("T")

_ERRORS: Final[Mapping[str, type[ServerError]]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, ServerError)
}


class FaultElsewhere(Exception):
    """A bug of ours in another process of the server, whose log has the traceback."""


_adapters: Final[dict[Any, TypeAdapter[Any]]] = {}


def _adapter_of(kind: Any) -> TypeAdapter[Any]:
    """Built on first use, which takes milliseconds."""
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def to_json(kind: type[T], value: T) -> Any:
    """A dataclass, or a container of such, in plain values."""
    return orjson.loads(_adapter_of(kind).dump_json(value))


def from_json(kind: type[T], document: Any) -> T:
    """The inverse. Raises ValueError for what is not one."""
    # As JSON: only there are the strict settings content with lists for tuples.
    value: T = _adapter_of(kind).validate_json(orjson.dumps(document))
    return value


def error_to_json(error: Exception) -> list[Any]:
    """By its most specific class that everybody knows."""
    for kind in type(error).__mro__:
        if _ERRORS.get(kind.__name__) is kind and isinstance(error, ServerError):
            return [kind.__name__, error.message, error.retry_after_s]
    return ["", f"{type(error).__name__}: {error}", None]


def error_from_json(document: Any) -> Exception:
    name, message, retry_after_s = document
    if name in _ERRORS:
        return _ERRORS[name](str(message), retry_after_s=retry_after_s)
    return FaultElsewhere(message)
