"""What names a repository: a directory, or a prefix in a bucket of an object store."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

SCHEMES: Final = {"s3": "S3", "gs": "Google Cloud Storage", "az": "Azure Blob Storage"}

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9!_.*'()=+,-]+(/[A-Za-z0-9!_.*'()=+,-]+)*")
_FORM: Final = "expected s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"


@dataclass(frozen=True, slots=True)
class ObjectUrl:
    """Where in an object store a repository lies."""

    scheme: str
    bucket: str
    """On Azure the container."""
    prefix: str
    """Without slashes at its ends; "" = the whole bucket."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def parse_url(text: str) -> ObjectUrl:
    """Raises ValueError, which never has what came: people put credentials into URLs."""
    match = _SCHEME.fullmatch(text)
    if match is None or match[1] not in SCHEMES:
        raise ValueError(f"{_FORM}, got a URL of another kind; a directory is named by its path")
    if re.search(r"[@?#]", match[2]):
        raise ValueError(
            f"{_FORM}, without credentials or parameters; credentials come from the provider's own "
            "environment variables"
        )
    bucket, _, prefix = match[2].partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"{_FORM}, with a bucket's name of lower-case letters, digits, '.', '_' and '-'")
    prefix = prefix.rstrip("/")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
        raise ValueError(f"{_FORM}, with a prefix of letters, digits and !_.*'()=+,- between single slashes")
    return ObjectUrl(match[1], bucket, prefix)


def _root(value: Path | str) -> Path | str:
    if isinstance(value, str):
        return str(parse_url(value)) if "://" in value else Path(value)
    return value


RepositoryRoot = Annotated[
    str | Path, AfterValidator(_root), WithJsonSchema({"type": "string", "format": "path"})
]
"""A directory as a Path, a place in an object store as the text of its URL."""


def url_of(root: Path | str) -> ObjectUrl | None:
    """None = it is a directory."""
    return parse_url(root) if isinstance(root, str) else None


def directories(roots: tuple[Path | str, ...]) -> tuple[Path, ...]:
    """Those of the roots that are directories."""
    return tuple(root for root in roots if isinstance(root, Path))
