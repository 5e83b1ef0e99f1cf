"""What somebody may do: scopes such as `infer:digits*`, `control:*`, `metrics`. Pure.

scope    verb [":" pattern]
verb     one of the table's, or a role: reader, invoker, operator, admin
pattern  a model's name in which * stands for any characters; without one, every model
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, Self, get_args

from onnxd.security.operations import Verb

ROLES: Final[Mapping[str, tuple[Verb, ...]]] = {
    "reader": ("health", "pages", "metadata", "stats", "metrics", "reflection"),
    "invoker": ("health", "pages", "metadata", "infer"),
    "operator": ("health", "pages", "metadata", "infer", "stats", "metrics", "reflection", "control"),
    "admin": get_args(Verb),
}

_PATTERN: Final = re.compile(r"[A-Za-z0-9._*-]{1,128}")
_EVERY: Final = "*"


class ScopeFault(ValueError):
    """A scope that says nothing; the message has the mend."""


class Scopes:
    """A set of scopes, frozen."""

    __slots__ = ("_patterns", "texts")

    def __init__(self, texts: tuple[str, ...], patterns: Mapping[Verb, tuple[str, ...]]) -> None:
        self.texts: Final = texts
        """As they were written."""
        self._patterns: Final = patterns

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Raises ScopeFault."""
        kept = tuple(texts)
        patterns: dict[Verb, tuple[str, ...]] = {}
        for text in kept:
            verbs, pattern = _read(text)
            for verb in verbs:
                patterns[verb] = (*patterns.get(verb, ()), pattern)
        return cls(kept, patterns)

    def permits(self, verb: Verb, model: str = "") -> bool:
        """Whether a verb is permitted on a model; without one, on the server as a whole, for which a scope
        on any model will do."""
        patterns = self._patterns.get(verb)
        if patterns is None:
            return False
        if not model or _EVERY in patterns:
            return True
        return _any_matches(patterns, model)

    def with_also(self, other: "Scopes") -> "Scopes":
        """What either permits."""
        return _both(self.texts, other.texts)


def _read(text: str) -> tuple[tuple[Verb, ...], str]:
    word, colon, pattern = text.partition(":")
    verbs: tuple[Verb, ...] = ROLES.get(word, tuple(verb for verb in get_args(Verb) if verb == word))
    if not verbs:
        known = ", ".join((*get_args(Verb), *ROLES))
        raise ScopeFault(f"scope '{text[:80]}': unknown verb or role '{word[:40]}'; expected one of {known}")
    if colon and _PATTERN.fullmatch(pattern) is None:
        raise ScopeFault(
            f"scope '{text[:80]}': expected a model's name behind the colon, in which * is any characters"
        )
    return verbs, pattern if colon else _EVERY


@lru_cache(maxsize=1024)
def _both(texts: tuple[str, ...], more: tuple[str, ...]) -> Scopes:
    return Scopes.parse((*texts, *more))


@lru_cache(maxsize=4096)
def _any_matches(patterns: tuple[str, ...], model: str) -> bool:
    return any(_compiled(pattern).fullmatch(model) for pattern in patterns)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Not fnmatch: its brackets and question marks would be patterns too, and a name's case is part of it.
    return re.compile(".*".join(map(re.escape, pattern.split("*"))))


EVERYTHING: Final = Scopes.parse(["admin"])
