"""Strict JSON: UTF-8, no duplicate keys, bounded depth, and the three tokens that JSON lacks for floats.

orjson does the work. What it does not do is refuse duplicate keys, where the last one would win, and a
request would mean one thing to a proxy and another to us; and it refuses NaN and Infinity, which
tritonclient writes.
"""

import json
import math
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import orjson

from onnxd.errors import MalformedPayload, PayloadTooLarge
from onnxd.protocol.limits import ProtocolLimits

_COUNT_BY_NUMPY_BYTES: Final = 8192
_UINT64_DIGITS: Final = 20


def parse_json(text: bytes, limits: ProtocolLimits) -> Any:
    """What the text holds. Duplicate keys and depth are not looked at: use check_structure for those.

    Raises MalformedPayload for what is not JSON in UTF-8, and PayloadTooLarge. As with orjson, an integer
    outside 64 bits becomes a float, and a number too large for a double is an error.
    """
    check_json_size(len(text), limits)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # Only these tokens can turn a refusal into an acceptance; without them the slow path is not worth it.
        if b"NaN" in text or b"Infinity" in text:
            return _parse_with_constants(text)
        raise MalformedPayload(f"the request's JSON cannot be read: {error}") from None


def check_json_size(size_bytes: int, limits: ProtocolLimits) -> None:
    """Raises PayloadTooLarge for a text that parse_json would refuse for its size."""
    if 0 <= limits.max_json_bytes < size_bytes:
        raise PayloadTooLarge(
            f"the JSON has {size_bytes} bytes, more than the {limits.max_json_bytes} allowed; send large "
            "tensors as binary data"
        )


def parse_object(text: bytes, limits: ProtocolLimits) -> dict[str, Any]:
    """An object without duplicate keys and within the depth limit; an empty text is {}.

    For the small bodies of control calls, whose body is optional.
    """
    if not text:
        return {}
    document = parse_json(text, limits)
    if type(document) is not dict:
        raise MalformedPayload("expected the request's body to be a JSON object")
    check_structure(text, document, limits)
    return document


def check_structure(text: bytes, document: object, limits: ProtocolLimits) -> None:
    """Raises MalformedPayload when the text has a duplicate key, or nests too deep.

    Each key of the text has one colon outside of strings; each key of `document` is a key of the text. So
    the two numbers differ exactly when a key was given twice.
    """
    if _colons_outside_strings(text) != _count_keys(document, limits):
        raise MalformedPayload("the request's JSON gives a key twice in one object")


def count_colons(text: bytes) -> int:
    """All colons, also those inside of strings."""
    if len(text) < _COUNT_BY_NUMPY_BYTES:
        return text.count(b":")
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == 0x3A))  # four times as fast


def _colons_outside_strings(text: bytes) -> int:
    if b"\\" in text:
        # First the escaped backslashes, so that the quote after one is seen as what it is.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(text.split(b'"')[::2]).count(b":")


def _count_keys(document: object, limits: ProtocolLimits) -> int:
    keys = 0
    depth = 0
    level = [document]
    while level:
        depth += 1
        if depth > limits.max_json_depth:
            raise MalformedPayload(
                f"the request's JSON nests deeper than the maximum of {limits.max_json_depth} levels"
            )
        below: list[object] = []
        for node in level:
            if type(node) is dict:
                keys += len(node)
                items: Iterable[object] = node.values()
            else:
                items = node if type(node) is list else ()
            below.extend(item for item in items if type(item) is list or type(item) is dict)
        level = below
    return keys


def _parse_with_constants(text: bytes) -> Any:
    try:
        document = json.loads(text.decode(), parse_int=_integer, parse_float=_float)
        # The standard library lets lone surrogates pass, which later fail to encode; orjson does not.
        orjson.dumps(document)
    except RecursionError:
        raise MalformedPayload("the request's JSON nests too deep") from None
    except (ValueError, TypeError) as error:  # both are what the two libraries raise for a bad text
        raise MalformedPayload(f"the request's JSON cannot be read: {error}") from None
    return document


def _integer(token: str) -> int | float:
    """As orjson: an int within 64 bits, else a float. Python refuses to convert thousands of digits."""
    if len(token) <= _UINT64_DIGITS:
        value = int(token)
        if -(2**63) <= value < 2**64:
            return value
    return _float(token)


def _float(token: str) -> float:
    value = float(token)
    if math.isinf(value):
        raise ValueError("a number is too large for a double")
    return value
