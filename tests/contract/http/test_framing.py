"""Requests whose head or framing is wrong (faults.md, table A). Row ids are part of the case ids."""

import pytest

from tests.support.http_server import BOTH_WAYS, INFER, HttpServer
from tests.support.raw_http import connect, request_bytes

pytestmark = BOTH_WAYS

INFER_PATH = b"/v2/models/identity/infer"


def head(*lines: bytes, path: bytes = INFER_PATH, method: bytes = b"POST") -> bytes:
    return b"\r\n".join((method + b" " + path + b" HTTP/1.1", b"Host: localhost", *lines, b"", b""))


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(
            head(b"Content-Length: 4", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
            id="A1-length-and-coding",
        ),
        pytest.param(head(b"Content-Length: 2", b"Content-Length: 3") + b"{}", id="A2-two-lengths"),
        pytest.param(head(b"Content-Length: -2") + b"{}", id="A2-negative-length"),
        pytest.param(head(b"Content-Length: +2") + b"{}", id="A2-signed-length"),
        pytest.param(head(b"Content-Length: 2 2") + b"{}", id="A2-length-in-parts"),
        pytest.param(head(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n", id="A3-unknown-coding"),
        pytest.param(head(b"Transfer-Encoding: chunked, identity") + b"0\r\n\r\n", id="A3-chunked-not-last"),
        pytest.param(
            head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", id="A3-doubled"
        ),
        pytest.param(b"GET /v2 HTTP/1.1\nHost: localhost\n\n", id="A4-bare-line-feeds"),
        pytest.param(head(b"X-Long: a\r\n b", method=b"GET", path=b"/v2"), id="A4-folded-header"),
        pytest.param(head(b"X-Spaced : a", method=b"GET", path=b"/v2"), id="A4-space-before-colon"),
        pytest.param(head(b"X-Nul: a\x00b", method=b"GET", path=b"/v2"), id="A4-nul-in-a-value"),
        pytest.param(b"GET /v2 HTTP/1.1\r\n\r\n", id="A5-no-host"),
        pytest.param(head(b"Host: other", method=b"GET", path=b"/v2"), id="A5-two-hosts"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="A7-http2-preface"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), id="A7-tls-hello"),
        pytest.param(head(b"X-Long: " + b"SECRET" * 1500, method=b"GET", path=b"/v2"), id="A8-long-header"),
        pytest.param(head(method=b"GET", path=b"/v2/" + b"SECRET" * 1500), id="A8-long-target"),
        pytest.param(
            head(*(b"X-SECRET-%d: a" % n for n in range(200)), method=b"GET", path=b"/v2"),
            id="A8-many-headers",
        ),
    ],
)
async def test_what_is_not_http_is_refused_in_our_form_and_the_connection_closes(
    server: HttpServer, request_: bytes
) -> None:
    async with connect(server.port) as connection:
        await connection.send(request_)
        answer = await connection.answer()
        await connection.closed()
    assert answer.status == 400
    assert "SECRET" not in answer.error
    assert answer.closes


@pytest.mark.parametrize("version", [b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2"], ids="A6-{}".format)
async def test_another_version_of_http_reaches_no_handler(server: HttpServer, version: bytes) -> None:
    answer = await server.send(
        b"POST /v2/repository/models/identity/load " + version + b"\r\nHost: localhost\r\n\r\n"
    )
    assert answer.status in (400, 505)
    assert answer.error
    assert server.stand.control.loaded == []


async def test_A9_a_header_line_that_dribbles_past_the_limit_is_refused(server: HttpServer) -> None:
    async with connect(server.port) as connection:
        await connection.send(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        for _ in range(8192 // 8):
            await connection.send_segment(b"a" * 8)
        answer = await connection.answer()
    assert answer.status == 400
    assert "longer than" in answer.error


async def test_A10_pipelined_requests_are_answered_in_order(server: HttpServer) -> None:
    count = 1000
    async with connect(server.port) as connection:
        paths = ["/v2/health/live" if n % 3 else "/health" for n in range(count)]
        await connection.send(b"".join(request_bytes("GET", path) for path in paths))
        answers = [await connection.answer() for _ in paths]
    assert [answer.json() for answer in answers] == [
        {"live": True} if n % 3 else {"status": "healthy"} for n in range(count)
    ]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        pytest.param("http://other.example/v2", 200, id="A11-absolute-form"),
        pytest.param("//v2/health/live", 404, id="A11-double-slash"),
        pytest.param("/v2/./models/identity", 404, id="A11-dot-segment"),
        pytest.param("/v2/../v2", 404, id="A11-dot-dot-segment"),
    ],
)
async def test_a_target_in_another_form_is_read_plainly(server: HttpServer, target: str, status: int) -> None:
    assert (await server.get(target)).status == status


async def test_A11_the_absolute_form_does_not_get_past_the_host_check(server: HttpServer) -> None:
    answer = await server.post("http://other.example/v2/repository/models/identity/load")
    assert answer.status == 403
    assert server.stand.control.loaded == []


async def test_A14_a_chunk_extension_without_end_is_refused(server: HttpServer) -> None:
    async with connect(server.port) as connection:
        await connection.send(head(b"Transfer-Encoding: chunked"))
        await connection.send(b"2;" + b"a" * 2**20)
        answer = await connection.answer()
    assert answer.status == 400
    assert answer.error


@pytest.mark.parametrize(
    "broken", [b"zz\r\n{}\r\n", b"-1\r\n", b"2\r\n{}xx"], ids=["size", "negative", "end"]
)
async def test_framing_that_breaks_after_the_head_is_refused_at_once(
    server: HttpServer, broken: bytes
) -> None:
    async with connect(server.port) as connection:
        await connection.send(head(b"Transfer-Encoding: chunked"))
        await connection.send_segment(b"1\r\n{\r\n")
        await connection.send(broken)
        answer = await connection.answer()
        await connection.closed()
    assert answer.status == 400
    assert "framing" in answer.error


async def test_a_chunked_body_is_as_good_as_one_with_a_length(server: HttpServer) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (INFER[:10], INFER[10:]))
    answer = await server.send(head(b"Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n")
    assert answer.status == 200


async def test_http_1_0_is_served(server: HttpServer) -> None:
    assert (await server.send(b"GET /v2/health/live HTTP/1.0\r\n\r\n")).status == 200
