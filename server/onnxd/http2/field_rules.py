"""Which header lists are well-formed (RFC 9113 §8.2 and §8.3). Pure."""

import re
from typing import Final

from onnxd.http2.stream import Header

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
"""A token without capitals (RFC 9110 §5.1)."""
_BAD_VALUE: Final = re.compile(rb"[\0\r\n]|\A[ \t]|[ \t]\Z")
_BAD_PATH: Final = re.compile(rb"[\0-\x20\x7f]")
_DIGITS: Final = re.compile(rb"[0-9]{1,19}")
_OF_CONNECTION: Final = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
)
_PSEUDO: Final = frozenset((b":method", b":scheme", b":path", b":authority"))


class Malformed(Exception):
    """The list breaks a rule: a stream error of type PROTOCOL_ERROR (§8.1.1)."""


def check_request(headers: list[Header]) -> int:
    """The body's length in bytes as the head says it, or -1. Raises Malformed."""
    pseudo: dict[bytes, bytes] = {}
    for name, value in headers:
        if name[:1] != b":":
            break
        if name not in _PSEUDO:
            raise Malformed("a pseudo-header that no request has")
        if name in pseudo:
            raise Malformed(f"{name.decode()} is there twice")
        _check_value(name, value)
        pseudo[name] = value
    length = -1
    for name, value in headers[len(pseudo) :]:
        _check_field(name, value)
        if name == b"te" and value.lower() != b"trailers":
            raise Malformed("te may only be trailers")
        if name == b"content-length":
            if not _DIGITS.fullmatch(value) or length not in (-1, int(value)):
                raise Malformed("content-length is no number, or two")
            length = int(value)
        elif name == b"host" and pseudo.get(b":authority", value) != value:
            raise Malformed("host is not :authority")
    _check_target(pseudo)
    return length


def check_trailers(headers: list[Header]) -> None:
    """Raises Malformed."""
    for name, value in headers:
        _check_field(name, value)


def _check_target(pseudo: dict[bytes, bytes]) -> None:
    if pseudo.get(b":method") == b"CONNECT":  # §8.5: it has an authority and nothing else
        if set(pseudo) != {b":method", b":authority"}:
            raise Malformed("CONNECT takes :authority alone")
        return
    for name in (b":method", b":scheme", b":path"):
        if not pseudo.get(name):
            raise Malformed(f"{name.decode()} is missing or empty")
    if not _NAME.fullmatch(pseudo[b":method"].lower()):
        raise Malformed(":method is no token")
    path = pseudo[b":path"]
    if path[:1] != b"/" and not (path == b"*" and pseudo[b":method"] == b"OPTIONS"):
        raise Malformed(":path does not begin with a slash")
    if _BAD_PATH.search(path):
        raise Malformed(":path has an octet that none may have")


def _check_field(name: bytes, value: bytes) -> None:
    if not _NAME.fullmatch(name):
        if name[:1] == b":":
            raise Malformed("a pseudo-header where none may be")
        raise Malformed("a field's name has an octet that none may have")
    if name in _OF_CONNECTION:
        raise Malformed(f"{name.decode()} means nothing in HTTP/2")
    _check_value(name, value)


def _check_value(name: bytes, value: bytes) -> None:
    if _BAD_VALUE.search(value):
        raise Malformed(f"the value of {name.decode()} has an octet, or white space, that none may have")
