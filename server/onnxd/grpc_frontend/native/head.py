"""The head of a call: what gRPC asks of its headers, and what it lets a caller say in them."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final, Literal

from onnxd.errors import InvalidRequest, MalformedPayload, PayloadTooLarge, ServerError, UnsupportedEncoding
from onnxd.http2.stream import Header
from onnxd.protocol.compression import Encoding
from onnxd.protocol.wording import show

Compression = Literal["none", "gzip", "deflate"]
Metadata = tuple[tuple[str, str | bytes], ...]

READABLE: Final = b"identity,deflate,gzip"
"""What requests may be encoded in, as `grpc-accept-encoding` lists it."""
_TYPES: Final = frozenset({b"application/grpc", b"application/grpc+proto"})
_ENCODINGS: Final[dict[bytes, str]] = {b"identity": "identity", b"gzip": "gzip", b"deflate": "deflate"}
_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS_S: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_OWN: Final = frozenset(
    {
        b":method", b":scheme", b":path", b":authority", b"te", b"content-type", b"grpc-timeout",
        b"grpc-encoding", b"grpc-accept-encoding",
    }
)  # fmt: skip
"""Headers that are the protocol's, and no metadata."""
_USUAL: Final = _OWN | {b"user-agent"}
_ENTRY_BYTES: Final = 32
"""What HTTP/2 counts for an entry besides its name and value (RFC 9113 §6.5.2)."""


class NotGrpc(Exception):  # not an error of a call: there is none
    """The request is none of gRPC's; `status` is what HTTP says to that."""

    def __init__(self, status: bytes, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class Head:
    """What a call's headers say."""

    timeout_s: float | None
    """How long its caller waits; None = for ever."""
    encoding: str
    """Of messages that are marked as compressed."""
    answers: Encoding | None
    """How answers are compressed."""
    metadata: Metadata | None = None
    """Once somebody has asked for it: calls with the same headers share it."""


def path_of(headers: dict[bytes, bytes]) -> bytes:
    """The path of a request that is one of gRPC's. Raises NotGrpc."""
    if headers.get(b":method") != b"POST":
        raise NotGrpc(b"405", "expected the method POST: this port speaks gRPC only")
    kind = headers.get(b"content-type", b"")
    if kind not in _TYPES and kind.partition(b";")[0].strip().lower() not in _TYPES:
        raise NotGrpc(
            b"415",
            f"expected content-type application/grpc, got {show(kind.decode('latin-1'))}: this port speaks "
            "gRPC only",
        )
    return headers.get(b":path", b"")


def read_head(
    headers: list[Header], by_name: dict[bytes, bytes], *, max_metadata: int, compression: Compression
) -> Head:
    """The head of a call, and nothing in it that cannot be read later. `compression` of answers is what the
    operator wants.

    Raises InvalidRequest, UnsupportedEncoding, PayloadTooLarge for too much metadata, and ServerError for
    binary metadata that is not base64, as every server of gRPC's own core does.
    """
    if not _USUAL.issuperset(by_name):
        _check_metadata(headers, max_metadata)
    if by_name.get(b"te") != b"trailers":
        raise InvalidRequest("expected the header 'te: trailers'; a proxy on the way may have taken it out")
    named = by_name.get(b"grpc-encoding", b"identity")
    encoding = _ENCODINGS.get(named)
    if encoding is None:
        raise UnsupportedEncoding(
            f"grpc-encoding {show(named.decode('latin-1'))} is not supported: expected gzip, deflate or "
            "identity",
            readable=READABLE.decode(),
        )
    timeout = by_name.get(b"grpc-timeout")
    return Head(
        None if timeout is None else _seconds(timeout),
        encoding,
        _of_answers(compression, by_name.get(b"grpc-accept-encoding", b"")),
    )


def too_much_metadata(most: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"expected at most {most} bytes of metadata, got more; send less of it")


def metadata_of(headers: list[Header]) -> Metadata:
    """What the caller says besides the protocol's own. Binary values are bytes."""
    found: list[tuple[str, str | bytes]] = []
    for name, value in headers:
        if name in _OWN or name[:1] == b":":
            continue
        key = name.decode("latin-1")
        if key.endswith("-bin"):
            found += [(key, _binary(key, one)) for one in value.split(b",")]
        else:
            found.append((key, _text(value)))
    return tuple(found)


def _of_answers(wanted: Compression, accepted: bytes) -> Encoding | None:
    """As is wanted, or the other way if the caller reads only that; None = not."""
    if wanted == "none" or not accepted:
        return None
    names = {name.strip() for name in accepted.split(b",")}
    order: tuple[Encoding, Encoding] = ("gzip", "deflate") if wanted == "gzip" else ("deflate", "gzip")
    return next((each for each in order if each.encode() in names), None)


def _check_metadata(headers: list[Header], max_metadata: int) -> None:
    size = sum([len(name) + len(value) for name, value in headers]) + _ENTRY_BYTES * len(headers)
    if size > max_metadata:
        raise too_much_metadata(max_metadata)
    for name, value in headers:
        if name[-4:] == b"-bin":
            for one in value.split(b","):
                _binary(name.decode("latin-1"), one)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _binary(key: str, value: bytes) -> bytes:
    """Base64, with padding or without."""
    try:
        return base64.b64decode(value.strip() + b"=" * (-len(value.strip()) % 4), validate=True)
    except binascii.Error:
        raise ServerError(f"Error parsing '{key}' metadata: illegal base64 encoding") from None


def _seconds(timeout: bytes) -> float:
    match = _TIMEOUT.fullmatch(timeout)
    if match is None:
        raise MalformedPayload(
            "expected grpc-timeout to be up to 8 digits and one of H, M, S, m, u, n, got "
            f"{show(timeout.decode('latin-1'))}"
        )
    return int(match[1]) * _UNITS_S[match[2]]
