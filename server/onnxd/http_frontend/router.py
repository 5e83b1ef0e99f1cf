"""From a path to its routes.

aiohttp's own router costs about 16 µs of a small request; here a path costs one split and one or two
dictionary look-ups. It also hands out decoded paths only, in which an encoded slash in a name looks like
two segments.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final
from urllib.parse import unquote

from onnxd.http_frontend.call import Route

_MODEL: Final = "{model}"
_VERSION: Final = "{version}"
_REPO: Final = "{repo}"
_REGION: Final = "{region}"
_VARIABLES: Final = frozenset({_MODEL, _VERSION, _REPO, _REGION})


@dataclass(slots=True)
class _Path:
    """One pattern: where its variables are among the segments (0 = it has none), and its routes by method."""

    model_at: int = 0
    version_at: int = 0
    repo_at: int = 0
    region_at: int = 0
    methods: dict[str, Route] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """Where a path leads. Names and version are decoded but not checked; "" = the pattern has none."""

    methods: Mapping[str, Route]
    model: str = ""
    version: str = ""
    region: str = ""


_Literals = tuple[str, ...]
_Shape = tuple[Callable[[list[str]], _Literals], dict[_Literals, _Path]]
"""Patterns whose variables are in the same places: what picks the other segments, and who has them."""


class Router:
    """A table of routes, built once."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Raises ValueError for two routes of one method and pattern."""
        self._literal: Final[dict[str, Found]] = {}
        self._shapes: Final[dict[int, list[_Shape]]] = {}
        patterns: dict[str, _Path] = {}
        shapes: dict[tuple[int, ...], dict[_Literals, _Path]] = {}
        for route in routes:
            pattern = patterns.get(route.path)
            if pattern is None:
                pattern = patterns[route.path] = _Path()
                segments = route.path.split("/")
                fixed = tuple(at for at, segment in enumerate(segments) if segment not in _VARIABLES)
                if len(fixed) == len(segments):
                    self._literal[route.path] = Found(pattern.methods)
                else:
                    pattern.model_at = _place(_MODEL, segments)
                    pattern.version_at = _place(_VERSION, segments)
                    pattern.repo_at = _place(_REPO, segments)
                    pattern.region_at = _place(_REGION, segments)
                    shape = (len(segments), *fixed)
                    if shape not in shapes:
                        shapes[shape] = {}
                        self._shapes.setdefault(len(segments), []).append((itemgetter(*fixed), shapes[shape]))
                    shapes[shape][tuple(segments[at] for at in fixed)] = pattern
            if route.method in pattern.methods:
                raise ValueError(f"two routes for {route.label}")
            pattern.methods[route.method] = route

    def find(self, path: str) -> Found | None:
        """Where an undecoded path leads; None where no route does.

        A version that is not all digits leads nowhere, as the protocol has it.
        """
        literal = self._literal.get(path)
        if literal is not None:
            return literal
        segments = path.split("/")
        for pick, patterns in self._shapes.get(len(segments), ()):
            pattern = patterns.get(pick(segments))
            if pattern is None or (pattern.repo_at and not segments[pattern.repo_at]):
                continue
            model = _decoded(segments[pattern.model_at])
            if pattern.region_at:
                return Found(pattern.methods, region=_decoded(segments[pattern.region_at]))
            if not pattern.version_at:
                return Found(pattern.methods, model)
            version = segments[pattern.version_at]
            if version.isascii() and version.isdigit():
                return Found(pattern.methods, model, version)
        return None


def _place(variable: str, segments: list[str]) -> int:
    return segments.index(variable) if variable in segments else 0


def _decoded(segment: str) -> str:
    # Bytes that are not UTF-8 become lone surrogates, which no valid name has.
    return unquote(segment, errors="surrogateescape") if "%" in segment else segment
