"""The settings of repositories in object stores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator

from onnxd.units import Bytes, Seconds

_ENDPOINT: Final = "expected http://HOST:PORT or https://HOST:PORT, without credentials or parameters"


def _endpoint(text: str) -> str:
    if not text:
        return text
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(_ENDPOINT) from error
    plain = parts.scheme in ("http", "https") and parts.hostname and port != 0
    if not plain or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(_ENDPOINT)
    return text


Endpoint = Annotated[str, AfterValidator(_endpoint)]


@dataclass(frozen=True, slots=True)
class ObjectStoreConfig:
    """Repositories in object stores: s3://, gs:// and az:// in model_repository (docs/object-storage.md)."""

    poll_interval: Annotated[Seconds, Gt(0)] = 30.0
    """The time between two looks at the objects; a shorter one costs more requests."""
    settle: Seconds = 1.0
    """How long a model's objects must have stayed the same before they take the place of its old ones."""
    cache_dir: Path | None = None
    """Where the local copies are kept; unset = objects in the state directory."""
    endpoint: Endpoint = ""
    """The URL of a store that is not the provider's own, such as a MinIO; empty = the provider's."""
    region: str = ""
    """The region of an S3 bucket; empty = what AWS_REGION says, or us-east-1."""
    anonymous: bool = False
    """Whether to ask without credentials, for buckets that everybody may read."""
    allow_http: bool = False
    """Whether objects may come without TLS, so that whoever is in between can read and change them."""
    timeout: Annotated[Seconds, Gt(0)] = 30.0
    """How long the store may be silent in any one request before that has failed."""
    parallel_downloads: Annotated[int, Ge(1), Le(64)] = 4
    """Objects that are downloaded at one time."""
    max_objects: Annotated[int, Ge(1)] = 10_000
    """Objects under one URL; with more, nothing is taken from it."""
    max_object_bytes: Bytes = 16 * 2**30
    """The largest object; a model with a larger one is refused. -1 = no bound."""
    max_bytes: Bytes = 64 * 2**30
    """Of all models under one URL; a model that would go beyond it is refused. -1 = no bound."""
