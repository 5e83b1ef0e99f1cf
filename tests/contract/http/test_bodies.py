"""Bodies under their limits: size, chunks, compression, leave to send (faults.md, table A)."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator

import pytest

from onnxd.http_frontend.config import HttpConfig
from tests.support.http_server import BOTH_WAYS, INFER, HttpServer, http_server
from tests.support.raw_http import connect, request_bytes
from tests.support.serving import Serving

pytestmark = BOTH_WAYS

PATH = "/v2/models/identity/infer"
LENGTH = "Inference-Header-Content-Length"
MAX_BODY = 4096
MAX_CHUNKS = 1000


@pytest.fixture
async def small(stand: Serving, quiet: None) -> AsyncIterator[HttpServer]:
    """Bodies of at most 4 KiB, in at most 1,000 chunks."""
    config = HttpConfig(port=0, max_body=MAX_BODY, max_chunks=MAX_CHUNKS)
    async with http_server(stand, config) as running:
        yield running
        await running.assert_well()


def padded(length: int) -> bytes:
    """The good request with blanks behind it."""
    return INFER + b" " * (length - len(INFER))


def chunked(chunks: int, data: bytes = b" ") -> bytes:
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" % PATH.encode()
    first = b"%x\r\n%b\r\n" % (len(INFER), INFER)
    return head + first + b"%x\r\n%b\r\n" % (len(data), data) * (chunks - 1) + b"0\r\n\r\n"


async def test_a_body_of_just_the_limit_is_taken(small: HttpServer) -> None:
    assert (await small.post(PATH, padded(MAX_BODY))).status == 200


async def test_a_body_over_the_limit_is_refused_before_it_is_sent(small: HttpServer) -> None:
    head = request_bytes("POST", PATH, headers={"Content-Length": str(MAX_BODY + 1)})
    answer = await small.send(head.replace(b"Content-Length: 0\r\n", b""))
    assert answer.status == 413
    assert answer.closes
    assert f"limit of {MAX_BODY}" in answer.error


async def test_a_chunked_body_over_the_limit_is_refused(small: HttpServer) -> None:
    assert (await small.send(chunked(2, b" " * MAX_BODY))).status == 413


async def test_a_body_has_no_limit_with_minus_one(stand: Serving, quiet: None) -> None:
    async with http_server(stand, HttpConfig(port=0, max_body=-1)) as server:
        assert (await server.post(PATH, padded(2**20))).status == 200


async def test_A12_as_many_chunks_as_allowed_are_taken_and_not_one_more(small: HttpServer) -> None:
    assert (await small.send(chunked(MAX_CHUNKS))).status == 200
    answer = await small.send(chunked(MAX_CHUNKS + 1))
    assert answer.status == 400
    assert f"more than {MAX_CHUNKS} chunks" in answer.error


async def test_A12_a_flood_of_tiny_chunks_is_cut_off_by_the_default_limits(server: HttpServer) -> None:
    answer = await server.send(chunked(100_000))
    assert answer.status == 400
    assert answer.closes


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("99999999999", id="A15-huge"),
        pytest.param("-1", id="A15-negative"),
        pytest.param("abc", id="A15-word"),
        pytest.param("", id="A15-empty"),
        pytest.param("1e3", id="A15-exponent"),
        pytest.param("+5", id="A15-signed"),
        pytest.param("9" * 4000, id="A15-4000-digits"),
        pytest.param(str(len(INFER) + 1), id="A16-one-over-the-body"),
        pytest.param("0", id="A17-zero-on-a-json-body"),
        pytest.param("20", id="A17-splits-the-json"),
    ],
)
async def test_a_bad_length_of_the_json_part_is_refused(server: HttpServer, value: str) -> None:
    answer = await server.post(PATH, INFER, {LENGTH: value})
    assert answer.status == 400
    assert answer.error


async def test_A15_two_lengths_of_the_json_part_are_refused(server: HttpServer) -> None:
    size = str(len(INFER))
    answer = await server.post(PATH, INFER, {LENGTH: size, LENGTH.lower(): size})
    assert answer.status == 400
    assert "2 times" in answer.error


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
async def test_a_compressed_body_is_read(server: HttpServer, compress: object) -> None:
    assert callable(compress)
    name = "gzip" if compress is gzip.compress else "deflate"
    assert (await server.post(PATH, compress(INFER), {"Content-Encoding": name})).status == 200


async def test_the_json_length_counts_the_decompressed_body(server: HttpServer) -> None:
    headers = {"Content-Encoding": "gzip", LENGTH: str(len(INFER))}
    assert (await server.post(PATH, gzip.compress(INFER), headers)).status == 200


async def test_A16_a_json_length_beyond_a_decompressed_body_is_refused(server: HttpServer) -> None:
    headers = {"Content-Encoding": "gzip", LENGTH: str(len(INFER) + 1)}
    assert (await server.post(PATH, gzip.compress(INFER), headers)).status == 400


async def test_A18_a_decompression_bomb_is_refused(server: HttpServer) -> None:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(squeezer.compress(bytes(2**20)) for _ in range(100)) + squeezer.flush()
    answer = await server.post(PATH, bomb, {"Content-Encoding": "gzip"})
    assert answer.status == 413
    assert answer.error


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        pytest.param(b"not compressed at all", "gzip", id="A19-garbage"),
        pytest.param(INFER, "gzip", id="A19-plain-json"),
        pytest.param(b"", "gzip", id="A19-nothing"),
        pytest.param(gzip.compress(INFER)[:-1], "gzip", id="A20-last-byte-missing"),
        pytest.param(gzip.compress(INFER)[:30], "gzip", id="A20-half"),
        pytest.param(gzip.compress(INFER) + b"more", "gzip", id="A20-more-behind-it"),
        pytest.param(zlib.compress(INFER)[2:-4], "deflate", id="A19-raw-deflate"),
    ],
)
async def test_a_body_that_does_not_decompress_is_refused(
    server: HttpServer, body: bytes, encoding: str
) -> None:
    answer = await server.post(PATH, body, {"Content-Encoding": encoding})
    assert answer.status == 400
    assert answer.error


@pytest.mark.parametrize("encoding", ["zipx", "gzip, gzip", "br", "gzip;q=1"], ids="A22-{}".format)
async def test_an_encoding_that_is_not_read_is_refused_with_those_that_are(
    server: HttpServer, encoding: str
) -> None:
    answer = await server.post(PATH, INFER, {"Content-Encoding": encoding})
    assert answer.status == 415
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert answer.error


async def test_A22_gzip_given_twice_is_refused(server: HttpServer) -> None:
    headers = {"Content-Encoding": "gzip", "content-encoding": "gzip"}
    assert (await server.post(PATH, gzip.compress(INFER), headers)).status == 415


@pytest.mark.parametrize(
    ("size", "status"),
    [pytest.param(MAX_BODY, 200, id="A24-at-the-limit"), pytest.param(MAX_BODY + 1, 413, id="A24-one-over")],
)
async def test_the_limit_is_also_for_what_comes_out(small: HttpServer, size: int, status: int) -> None:
    answer = await small.post(PATH, gzip.compress(padded(size)), {"Content-Encoding": "gzip"})
    assert answer.status == status


async def test_A28_a_client_that_asks_first_is_told_to_go_on(server: HttpServer) -> None:
    head = request_bytes("POST", PATH, INFER, {"Expect": "100-continue"})[: -len(INFER)]
    async with connect(server.port) as connection:
        await connection.send(head)
        assert await connection.line() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await connection.send(INFER)
        assert (await connection.answer()).status == 200


async def test_A28_a_client_that_asks_first_for_too_much_is_told_no(small: HttpServer) -> None:
    head = request_bytes("POST", PATH, headers={"Expect": "100-continue", "Content-Length": "1000000000"})
    async with connect(small.port) as connection:
        await connection.send(head.replace(b"Content-Length: 0\r\n", b""))
        assert (await connection.line()).startswith(b"HTTP/1.1 413 ")


async def test_A28_another_expectation_is_refused(server: HttpServer) -> None:
    answer = await server.post(PATH, INFER, {"Expect": "miracles"})
    assert answer.status == 417
    assert answer.error


async def test_a_body_that_is_no_json_is_refused(server: HttpServer) -> None:
    for body in (b"", b"{", b"[]", b'"x"', b"\xff\xfe", json.dumps({"inputs": 1}).encode()):
        answer = await server.post(PATH, body)
        assert answer.status == 400
        assert answer.error


async def test_a_connection_goes_on_after_a_refused_request(server: HttpServer) -> None:
    async with connect(server.port) as connection:
        for body, status in ((b"{", 400), (INFER, 200), (b"[]", 400), (INFER, 200)):
            await connection.send(request_bytes("POST", PATH, body))
            assert (await connection.answer()).status == status
