"""Triton's restricted APIs: groups of operations that need a header with a certain value. Pure.

Kept for those who have them; a key with scopes says more and can be revoked.
"""

import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from onnxd.errors import PermissionDenied
from onnxd.security.operations import RESTRICTED_APIS

GRPC_PREFIX: Final = "triton-grpc-protocol-"
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,128}")
_LONGEST_VALUE: Final = 4096


class RestrictionFault(ValueError):
    """A setting that restricts nothing, or twice; the message has the mend."""


class Restriction(NamedTuple):
    """The header that one group of operations needs."""

    header: str
    """In lower case, as it is sent over HTTP."""
    value: str


class Restrictions:
    """Which groups need which header."""

    def __init__(self, by_api: Mapping[str, Restriction]) -> None:
        self._by_api = by_api
        self.headers: Final = frozenset(restriction.header for restriction in by_api.values())
        """All headers that are looked at."""

    def __bool__(self) -> bool:
        return bool(self._by_api)

    @property
    def apis(self) -> frozenset[str]:
        """The groups that are restricted."""
        return frozenset(self._by_api)

    def check(self, api: str, sent: Mapping[str, str], prefix: str = "") -> None:
        """Raises PermissionDenied for an operation whose header was not sent. `sent`: the headers that this
        looks at, by their names in lower case; `prefix` is what the protocol puts before them."""
        restriction = self._by_api.get(api)
        if restriction is None:
            return
        value = sent.get(restriction.header, "")
        # Bytes that are not UTF-8 come as lone surrogates.
        given, wanted = (text.encode("utf-8", "surrogatepass") for text in (value, restriction.value))
        if len(value) > _LONGEST_VALUE or not hmac.compare_digest(given, wanted):
            raise PermissionDenied(
                f"this API is restricted, expecting header '{prefix}{restriction.header}' with its value"
            )


def read_restrictions(settings: Mapping[str, str]) -> Restrictions:
    """From the setting: groups joined by +, to KEY:VALUE. Raises RestrictionFault."""
    by_api: dict[str, Restriction] = {}
    for groups, text in settings.items():
        header, colon, value = text.partition(":")
        if not colon or not value or _HEADER.fullmatch(header) is None:
            raise RestrictionFault(
                f"restricted API '{groups[:80]}': expected a header's name, a colon, and its value"
            )
        for api in _groups(groups):
            if api in by_api:
                raise RestrictionFault(f"restricted API '{api}' is restricted twice; name it once")
            by_api[api] = Restriction(header.lower(), value)
    return Restrictions(by_api)


def _groups(text: str) -> Iterable[str]:
    for group in text.split("+"):
        if group not in RESTRICTED_APIS:
            known = ", ".join(sorted(RESTRICTED_APIS))
            raise RestrictionFault(f"unknown restricted API '{group[:40]}'; expected one of {known}")
        yield group
