"""Which heads the lane answers, which it lends, and which it hands over."""

import pytest

from onnxd.http_frontend.lane.head import MAX_BODY_BYTES, Head, HeadReader, NotFramed

LINE = b"POST /v2/models/m/infer HTTP/1.1"


def head(*lines: bytes, first: bytes = LINE, host: bytes = b"Host: here") -> bytes:
    return b"\r\n".join((first, *(line for line in (host, *lines) if line), b"", b""))


def read(data: bytes) -> Head:
    found = HeadReader().read(data)
    assert found is not None
    return found


def test_a_plain_head_is_read_and_its_end_is_known() -> None:
    raw = head(b"Content-Length: 5", b"X-Odd:  a b \t", b"Inference-Header-Content-Length: 3")
    found = read(raw + b"12345POST")
    assert found.plain
    assert found.raw == raw
    assert (found.method, found.path, found.length, found.json_length) == ("POST", "/v2/models/m/infer", 5, 3)
    assert found.headers["x-odd"] == "a b"
    assert not found.closes


def test_a_head_in_single_bytes_is_the_same_head() -> None:
    raw = head(b"Content-Length: 5", b"Accept-Encoding: gzip")
    reader = HeadReader()
    for end in range(1, len(raw)):
        assert reader.read(raw[:end]) is None
    found = reader.read(raw)
    assert found is not None
    assert found.raw == raw
    assert found.plain
    assert found.headers == read(raw).headers


def test_blank_lines_before_it_belong_to_it() -> None:
    raw = b"\r\n" + head(b"Content-Length: 5")
    assert read(raw).raw == raw


def test_the_query_is_no_part_of_the_path() -> None:
    assert read(head(b"Content-Length: 0", first=b"POST /a?b/c HTTP/1.1")).path == "/a"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(head(b"Content-Length: 1", first=b"GET / HTTP/1.1"), id="another-method"),
        pytest.param(head(), id="no-length"),
        pytest.param(head(b"Content-Length: 1", b"Expect: 100-continue"), id="expect"),
        pytest.param(head(b"Content-Length: 1", b"Content-Encoding: gzip"), id="compressed"),
        pytest.param(head(b"Content-Length: 1", host=b""), id="no-host"),
        pytest.param(head(b"Content-Length: 1", b"host: there"), id="two-hosts"),
        pytest.param(head(b"Content-Length: 1", b"X-A: 1", b"x-a: 2"), id="a-header-twice"),
        pytest.param(head(b"Content-Length: 1", first=b"POST http://a/b HTTP/1.1"), id="absolute"),
        pytest.param(head(b"Content-Length: %d" % (MAX_BODY_BYTES + 1)), id="a-huge-body"),
        pytest.param(head(b"Content-Length: 1", *(b"x-%d: 1" % n for n in range(128))), id="130-headers"),
        pytest.param(head(b"Content-Length: 1", b"Sec-WebSocket-Key1: 1"), id="old-websocket"),
    ],
)
def test_what_is_not_plain_is_lent(raw: bytes) -> None:
    assert not read(raw).plain


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(head(b"Transfer-Encoding: chunked"), id="chunked"),
        pytest.param(head(b"Transfer-Encoding: chunked", b"Content-Length: 1"), id="chunked-with-a-length"),
        pytest.param(head(b"Content-Length: 1", b"Content-Length: 1"), id="two-lengths"),
        pytest.param(head(b"Content-Length: +1"), id="signed-length"),
        pytest.param(head(b"Content-Length: 1_0"), id="length-with-an-underscore"),
        pytest.param(head(b"Content-Length: " + b"9" * 19), id="19-digits"),
        pytest.param(head(b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 0"), id="upgrade"),
        pytest.param(head(b"Upgrade: h2c", b"Content-Length: 0"), id="upgrade-alone"),
        pytest.param(head(b"Connection: close, te", b"Content-Length: 0"), id="another-connection"),
        pytest.param(head(b"Content-Length: 0", first=b"POST / HTTP/1.0"), id="http-1.0"),
        pytest.param(head(b"Content-Length: 0", first=b"CONNECT a:1 HTTP/1.1"), id="connect"),
        pytest.param(head(b"Content-Length: 0", "X: ä".encode()), id="not-ascii"),
        pytest.param(head(b"X-Long: " + b"a" * 9000), id="a-long-line"),
        pytest.param(head(b"X-Folded: a\r\n b"), id="folded"),
        pytest.param(head(b"X-Spaced : a"), id="space-before-colon"),
        pytest.param(head(b"X-Nul: a\x00b"), id="nul"),
        pytest.param(LINE + b"\nHost: a\n\n", id="line-feeds"),
        pytest.param(b"\x16\x03\x01\x02\x00", id="tls"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http2"),
    ],
)
def test_what_is_not_framed_is_not_read_on(raw: bytes) -> None:
    with pytest.raises(NotFramed):
        HeadReader().read(raw)


def test_a_head_that_never_ends_is_given_up() -> None:
    reader = HeadReader()
    assert reader.read(LINE + b"\r\nHost: a\r\nX: " + b"a" * 100) is None
    with pytest.raises(NotFramed):
        reader.read(LINE + b"\r\nHost: a\r\nX: " + b"a" * 9000)
