"""gzip and deflate, bounded."""

import gzip
import random
import zlib

import pytest

from onnxd.errors import MalformedPayload, PayloadTooLarge, UnsupportedEncoding
from onnxd.protocol.compression import (
    Encoding,
    choose_encoding,
    compress,
    decompress,
    parse_content_encoding,
)

TEXT = b'{"inputs":[]}' * 100


@pytest.mark.parametrize(
    "data",
    [gzip.compress(TEXT), zlib.compress(TEXT), memoryview(gzip.compress(TEXT))],
    ids=["gzip", "zlib", "view"],
)
def test_either_form_is_read_whatever_the_header_called_it(data: bytes) -> None:
    assert decompress(data, len(TEXT)) == TEXT


def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    # A24
    data = gzip.compress(TEXT)
    assert decompress(data, len(TEXT)) == TEXT
    with pytest.raises(PayloadTooLarge):
        decompress(data, len(TEXT) - 1)


def test_a_bomb_is_stopped_at_the_limit() -> None:
    # A18
    with pytest.raises(PayloadTooLarge):
        decompress(gzip.compress(bytes(20 * 2**20), compresslevel=1), 2**10)


def test_no_limit_reads_all() -> None:
    assert len(decompress(gzip.compress(bytes(2**20)), -1)) == 2**20


BAD = {
    "A19-garbage": b"not compressed at all",
    "A19-raw-deflate": zlib.compress(TEXT)[2:-4],
    "A19-wrong-checksum": gzip.compress(TEXT)[:-8] + bytes(8),
    "A20-truncated": gzip.compress(TEXT)[:-1],
    "A20-truncated-zlib": zlib.compress(TEXT)[:-1],
    "A20-empty": b"",
    "A20-trailing-garbage": gzip.compress(TEXT) + b"x",
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_what_is_not_one_complete_stream_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedPayload):
        decompress(data, 2**20)


@pytest.mark.parametrize(
    "encoding", ["zipx", "gzip, gzip", "br", "gzip;q=1"], ids=lambda encoding: f"A22-{encoding}"
)
def test_another_content_encoding_is_unsupported(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding):
        parse_content_encoding(encoding)


@pytest.mark.parametrize(
    ("encoding", "compressed"),
    [(None, False), ("", False), ("identity", False), ("gzip", True), ("Deflate", True), (" GZIP ", True)],
)
def test_a_known_content_encoding_says_whether_to_decompress(encoding: str | None, compressed: bool) -> None:
    assert parse_content_encoding(encoding) is compressed


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, None),
        ("", None),
        ("gzip", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("deflate, gzip", "deflate"),
        ("deflate;q=0.5, gzip;q=0.8", "gzip"),
        ("identity, gzip", None),
        ("gzip;q=0", None),
        ("br, zstd, *", None),
        ("gzip;q=abc, deflate;q=-1, gzip;q=nan", None),
        ("GZIP ; Q=0.3", "gzip"),
    ],
)
def test_the_heaviest_encoding_that_we_have_is_chosen(accept: str | None, chosen: Encoding | None) -> None:
    assert choose_encoding(accept) == chosen


def test_what_is_compressed_is_what_clients_decompress() -> None:
    parts: list[bytes | memoryview] = [TEXT, memoryview(bytes(100))]
    assert gzip.decompress(compress(parts, "gzip")) == TEXT + bytes(100)
    assert zlib.decompress(compress(parts, "deflate")) == TEXT + bytes(100)


@pytest.mark.parametrize("size", [0, 1, 262143, 262144, 262145, 2 * 262144, 3 * 2**20 + 258])
@pytest.mark.parametrize("kind", ["zeros", "noise"])
def test_content_of_any_size_is_read_to_its_end(size: int, kind: str) -> None:
    content = bytes(size) if kind == "zeros" else random.Random(size).randbytes(size)
    for level in (1, 9):
        assert decompress(zlib.compress(content, level), size) == content
        assert decompress(gzip.compress(content, level), -1) == content
