"""Which of a model's versions are served."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema

_MAX_VERSION: Final = 2**63 - 1
_MAX_LISTED: Final = 1000


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """The `latest` highest versions, or those listed in `only`, or all when both say nothing."""

    latest: int | None = 1
    only: tuple[int, ...] = ()

    def select(self, available: Iterable[int]) -> tuple[int, ...]:
        """The versions to serve of those that are there, in rising order.

        A listed version that is not there is left out: it is served as soon as it appears.
        """
        versions = sorted(set(available))
        if self.only:
            return tuple(version for version in versions if version in self.only)
        return tuple(versions if self.latest is None else versions[-self.latest :])

    def __str__(self) -> str:
        """As config.yaml writes it."""
        if self.only:
            return f"[{', '.join(map(str, self.only))}]"
        return "all" if self.latest is None else f"{{latest: {self.latest}}}"


ALL_VERSIONS: Final = VersionPolicy(latest=None)


def parse_version_policy(value: Any) -> VersionPolicy:
    """Of `all`, `{latest: 2}`, or `[1, 3]`. Raises ValueError that says what was expected."""
    match value:
        case VersionPolicy():
            return value
        case "all":
            return ALL_VERSIONS
        case {"latest": count} if len(value) == 1:
            if not _is_version(count):
                raise ValueError(
                    f"expected the count behind latest to be an integer of at least 1, got {count!r}"
                )
            return VersionPolicy(latest=count)
        case [_, *_]:
            if len(value) > _MAX_LISTED:
                raise ValueError(f"expected at most {_MAX_LISTED} versions, got {len(value)}")
            for item in value:
                if not _is_version(item):
                    raise ValueError(f"expected version numbers of at least 1, got {item!r}")
            if twice := [item for item, count in Counter(value).items() if count > 1]:
                raise ValueError(f"version {twice[0]} is listed twice")
            return VersionPolicy(latest=None, only=tuple(sorted(value)))
    raise ValueError("expected all, {latest: 2}, or a list of version numbers such as [1, 3]")


def _is_version(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_VERSION


Versions = Annotated[
    VersionPolicy,
    PlainValidator(parse_version_policy),
    WithJsonSchema(
        {
            "oneOf": [
                {"const": "all"},
                {
                    "type": "object",
                    "properties": {"latest": {"type": "integer", "minimum": 1}},
                    "required": ["latest"],
                    "additionalProperties": False,
                },
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 1},
                    "minItems": 1,
                    "maxItems": _MAX_LISTED,
                    "uniqueItems": True,
                },
            ]
        }
    ),
]
"""A VersionPolicy as config.yaml writes it."""
