"""What can be asked of the server, and what one must be permitted for it: the one table for every front end.

An operation that is not here is refused, whoever asks. Whether a route or a method is in it is settled when
the front ends are built, not when somebody calls.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Verb = Literal[
    "health",
    "metadata",
    "infer",
    "stats",
    "metrics",
    "reflection",
    "pages",
    "control",
    "shared_memory",
    "trace",
    "log",
]
"""What a scope permits."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a client can ask for."""

    verb: Verb
    restricted_api: str
    """Triton's name for the group that it belongs to, for its restricted-API headers."""
    admin: bool = False
    """It changes what the server does for everybody."""


OPERATIONS: Final[Mapping[str, Operation]] = {
    "health": Operation("health", "health"),
    "metadata": Operation("metadata", "metadata"),
    "config": Operation("metadata", "model-config"),
    "index": Operation("metadata", "model-repository"),
    "infer": Operation("infer", "inference"),
    "stats": Operation("stats", "statistics"),
    "metrics": Operation("metrics", "statistics"),
    "reflection": Operation("reflection", "metadata"),
    "pages": Operation("pages", "metadata"),
    "load": Operation("control", "model-repository", admin=True),
    "unload": Operation("control", "model-repository", admin=True),
    "overrides": Operation("control", "model-repository", admin=True),
    "shared_memory": Operation("shared_memory", "shared-memory", admin=True),
    "trace_settings": Operation("metadata", "trace"),
    "log_settings": Operation("metadata", "logging"),
    "trace": Operation("trace", "trace", admin=True),
    "log": Operation("log", "logging", admin=True),
}

RESTRICTED_APIS: Final = frozenset(operation.restricted_api for operation in OPERATIONS.values())


def operation(name: str) -> Operation:
    """Raises ValueError for what is not in the table: a front end that offers it does not start."""
    found = OPERATIONS.get(name)
    if found is None:
        raise ValueError(f"operation '{name}' has no row in the table of security/operations.py")
    return found
