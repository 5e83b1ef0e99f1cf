"""gzip and deflate (zlib-wrapped) of HTTP bodies, both ways, bounded."""

import zlib
from collections.abc import Iterable
from typing import Final, Literal

from onnxd.errors import MalformedPayload, PayloadTooLarge, UnsupportedEncoding
from onnxd.protocol.wording import show

Encoding = Literal["gzip", "deflate"]

_READ_EITHER: Final = 32 + zlib.MAX_WBITS
_WRITE: Final[dict[Encoding, int]] = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_PIECE_BYTES: Final = 262144
"""What zlib is given, and what it gives, at a time. In one it would keep twice the content at its end."""
_FASTEST: Final = 1
"""Tensors of floats hardly compress: a higher level costs several times the processor for a few percent."""


def parse_content_encoding(value: str | None) -> bool:
    """Whether a body with this Content-Encoding is compressed; decompress() tells gzip from zlib itself.

    Raises UnsupportedEncoding for anything but gzip, deflate, identity and nothing.
    """
    name = (value or "").strip().lower()
    if name in ("", "identity"):
        return False
    if name in ("gzip", "deflate"):
        return True
    raise UnsupportedEncoding(
        f"Content-Encoding {show(value)} is not supported: expected gzip, deflate or identity"
    )


def decompress(data: bytes | memoryview, max_bytes: int) -> bytes:
    """The content of one complete gzip or zlib stream; -1 = no bound.

    Raises PayloadTooLarge as soon as it is over `max_bytes`, without holding much more than that, and
    MalformedPayload for what is not such a stream, is cut short, or has bytes behind it.
    """
    stream = zlib.decompressobj(_READ_EITHER)
    view = memoryview(data)
    parts: list[bytes] = []
    size = at = 0
    try:
        while at < len(view) and not stream.eof:
            piece: bytes | memoryview = view[at : at + _PIECE_BYTES]
            at += len(piece)
            part = b""
            while piece or len(part) == _PIECE_BYTES:
                part = stream.decompress(piece, _PIECE_BYTES)
                piece = stream.unconsumed_tail
                size += len(part)
                if 0 <= max_bytes < size:
                    raise PayloadTooLarge(
                        f"the decompressed body has more than the {max_bytes} bytes allowed"
                    )
                parts.append(part)
    except zlib.error as error:
        raise MalformedPayload(f"the body is not valid gzip or deflate data: {error}") from None
    if not stream.eof:
        raise MalformedPayload("the body's compressed data is cut short")
    surplus = len(stream.unused_data) + len(view) - at
    if surplus:
        raise MalformedPayload(f"the body has {surplus} bytes behind the end of its compressed data")
    return b"".join(parts)


def choose_encoding(accept_encoding: str | None) -> Encoding | None:
    """How to compress an answer: the heaviest of gzip, deflate, identity, the first of equals; None = not."""
    chosen: Encoding | None = None
    heaviest = 0.0
    for entry in (accept_encoding or "").split(","):
        name, _, parameters = entry.partition(";")
        weight = _weight(parameters)
        if weight <= heaviest:
            continue
        match name.strip().lower():
            case "gzip":
                chosen, heaviest = "gzip", weight
            case "deflate":
                chosen, heaviest = "deflate", weight
            case "identity":
                chosen, heaviest = None, weight
            case _:
                pass
    return chosen


def _weight(parameters: str) -> float:
    key, _, value = parameters.partition("=")
    if key.strip().lower() != "q":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0


def compress(parts: Iterable[bytes | memoryview], encoding: Encoding) -> bytes:
    """The parts as one stream. "deflate" is zlib-wrapped, as HTTP means it."""
    stream = zlib.compressobj(_FASTEST, zlib.DEFLATED, _WRITE[encoding])
    return b"".join([*map(stream.compress, parts), stream.flush()])
