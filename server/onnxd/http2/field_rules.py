"""Which header lists are well-formed (RFC 9113 §8.2 and §8.3). Pure."""

import re
from functools import lru_cache
from typing import Final

from onnxd.http2.stream import Header

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
"""A token without capitals (RFC 9110 §5.1)."""
_LONGEST_KNOWN_NAME: Final = 64
_VALUE: Final = re.compile(rb"(?:[^\0\r\n\t ](?:[^\0\r\n]*[^\0\r\n\t ])?)?")
_PATH: Final = re.compile(rb"/[^\0-\x20\x7f]*")
_DIGITS: Final = re.compile(rb"[0-9]{1,19}")
_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_OF_CONNECTION: Final = (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
_WITH_RULES: Final = frozenset((*_OF_CONNECTION, b"te", b"content-length", b"host"))
_PSEUDO: Final = frozenset((b":method", b":scheme", b":path", b":authority"))

_is_value = _VALUE.fullmatch


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
        if not _is_value(value):
            raise _bad_value(name)
        pseudo[name] = value
    _check_target(pseudo)
    length = -1
    for name, value in headers[len(pseudo) :]:
        if not (_is_known_name(name) if len(name) <= _LONGEST_KNOWN_NAME else _NAME.fullmatch(name)):
            raise _bad_name(name)
        if not _is_value(value):
            raise _bad_value(name)
        if name in _WITH_RULES:
            length = _check_special(name, value, length, pseudo)
    return length


def check_trailers(headers: list[Header]) -> None:
    """Raises Malformed."""
    for name, value in headers:
        if not _NAME.fullmatch(name):
            raise _bad_name(name)
        if not _is_value(value):
            raise _bad_value(name)
        if name in _OF_CONNECTION:
            raise Malformed(f"{name.decode()} means nothing in HTTP/2")


@lru_cache(maxsize=512)
def _is_known_name(name: bytes) -> bool:
    """Names are few, and looking one up is quicker than looking at it."""
    return _NAME.fullmatch(name) is not None


def _check_special(name: bytes, value: bytes, length: int, pseudo: dict[bytes, bytes]) -> int:
    """The body's length as it is known after this field."""
    if name == b"te":
        if value.lower() != b"trailers":
            raise Malformed("te may only be trailers")
    elif name == b"content-length":
        if not _DIGITS.fullmatch(value) or length not in (-1, int(value)):
            raise Malformed("content-length is no number, or two")
        return int(value)
    elif name == b"host":
        if pseudo.get(b":authority", value).lower() != value.lower():
            raise Malformed("host is not :authority")
    else:
        raise Malformed(f"{name.decode()} means nothing in HTTP/2")
    return length


def _check_target(pseudo: dict[bytes, bytes]) -> None:
    method = pseudo.get(b":method", b"")
    if method == b"CONNECT":  # §8.5: it has an authority and nothing else
        if set(pseudo) != {b":method", b":authority"}:
            raise Malformed("CONNECT takes :authority alone")
        return
    if not _METHOD.fullmatch(method):
        raise Malformed(":method is missing, or no token")
    if not pseudo.get(b":scheme"):
        raise Malformed(":scheme is missing or empty")
    path = pseudo.get(b":path", b"")
    if not _PATH.fullmatch(path) and not (path == b"*" and method == b"OPTIONS"):
        raise Malformed(":path is missing, does not begin with a slash, or has an octet that none may have")


def _bad_name(name: bytes) -> Malformed:
    if name[:1] == b":":
        return Malformed("a pseudo-header where none may be")
    return Malformed("a field's name has an octet that none may have")


def _bad_value(name: bytes) -> Malformed:
    return Malformed(f"the value of {name.decode()} has an octet, or white space, that none may have")
