"""Why a store did not do what was asked of it, in words that hold no secret. Pure."""

import re
from typing import Final, Literal

from onnxd.repository.object_store.url import SCHEMES, ObjectUrl

Reason = Literal[
    "changed", "credentials", "denied", "disk", "emptied", "missing", "other", "timeout", "too_many",
    "unreachable", "unsafe",
]  # fmt: skip
REASONS: Final[tuple[Reason, ...]] = (
    "changed", "credentials", "denied", "disk", "emptied", "missing", "other", "timeout", "too_many",
    "unreachable", "unsafe",
)  # fmt: skip
"""All of them, for the metrics."""

CREDENTIALS: Final = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the machine's role",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or the machine's service account",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or the "
    "machine's identity",
}
"""Where each provider's credentials come from."""

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_WRONG_CREDENTIALS: Final = frozenset(
    {
        "ExpiredToken", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken", "SignatureDoesNotMatch",
        "AuthenticationFailed", "TokenRefreshRequired", "RequestTimeTooSkewed",
    }
)  # fmt: skip
_ASKED: Final = re.compile(r"Error performing [A-Z]+ (\S+)")
_ISSUERS: Final = re.compile(
    r"/latest/(api/token|meta-data)|/computeMetadata/|/metadata/identity|/oauth2/|/token\b|//sts\."
)
"""Whom a library asks for credentials: a machine's metadata, and providers' token services."""
_BAD_KEY: Final = re.compile(r'[Pp]ath "([^"]{0,1024})"')


class StorageFault(Exception):
    """A look at a store, or a download, has failed. `message` is fit for logs and for clients."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Final = reason
        self.message: Final = message


class UnsafeKey(StorageFault):
    """Keys were to be listed, and one of them can be no path."""


def told(url: ObjectUrl, error: BaseException) -> StorageFault:
    """What an error of the library means. Of its text nothing is passed on but the status and the code:
    it may quote keys, signatures and whole answers."""
    text = str(error)
    kind = type(error).__name__
    if kind == "InvalidPathError":
        return UnsafeKey("unsafe", f"{url}: {_bad_key(text)}")
    status = next(iter(_STATUS.findall(text)), "")
    code = next(iter(_CODE.findall(text)), "")
    answer = ", ".join(filter(None, (status, code)))
    if isinstance(error, TimeoutError):
        return StorageFault("timeout", f"{url} did not answer within object_store.timeout")
    if kind == "PreconditionError":
        return StorageFault("changed", f"{url}: an object has changed since it was listed")
    asked = _ASKED.search(text)
    if asked is not None and url.bucket not in asked[1] and _ISSUERS.search(asked[1]):
        return StorageFault(
            "credentials",
            f"{url}: no credentials for {SCHEMES[url.scheme]} could be had; they come from "
            f"{CREDENTIALS[url.scheme]}; object_store.anonymous asks without any",
        )
    if code in _WRONG_CREDENTIALS or kind == "UnauthenticatedError" or status == "401":
        return StorageFault(
            "credentials",
            f"{url}: {SCHEMES[url.scheme]} does not take the credentials ({answer}); "
            f"they come from {CREDENTIALS[url.scheme]}; object_store.anonymous asks without any",
        )
    if kind == "PermissionDeniedError" or status == "403":
        return StorageFault(
            "denied",
            f"{url}: not permitted ({answer}); the credentials, which come from {CREDENTIALS[url.scheme]}, "
            "need the right to list the bucket and to read its objects",
        )
    if isinstance(error, FileNotFoundError) and code != "NoSuchBucket":
        return StorageFault("changed", f"{url}: an object is gone since it was listed")
    if status == "404":
        return StorageFault(
            "missing",
            f"{url}: there is no such bucket ({answer}); see model_repository, object_store.endpoint and "
            "object_store.region",
        )
    if status:
        return StorageFault("other", f"{url}: the store answered with an error ({answer})")
    if "timed out" in text or "timeout" in text.split("retry_timeout")[0]:
        return StorageFault("timeout", f"{url} did not answer within object_store.timeout")
    if "URL scheme is not allowed" in text or "builder error" in text:
        return StorageFault("other", f"{url}: without TLS nothing is asked; see object_store.allow_http")
    if "error sending request" in text or "Connect" in text:
        return StorageFault(
            "unreachable", f"{url} cannot be reached; see object_store.endpoint and the network"
        )
    return StorageFault("other", f"{url}: the store's answer could not be used ({kind})")


def _bad_key(text: str) -> str:
    match = _BAD_KEY.search(text.partition("\n\nDebug source")[0])
    key = f"{match[1]!r} " if match else ""
    return (
        f"the key {key}can be no path: a part of it is empty, '.', '..', or has characters that no path has"
    )
