"""RFC 9113's rules for what a client may send, and the code with which each breach ends a stream or the
connection. After a breach of one stream's rules the connection goes on."""

import struct
from collections.abc import Callable
from typing import Final

import pytest

from onnxd.http2.error_codes import ErrorCode as Code
from onnxd.http2.stream import Header
from tests.support.http2_stand import REQUEST, Stand
from tests.support.raw_http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)

PRIORITY, PUSH_PROMISE, CONTINUATION = 2, 5, 9
PADDED, PRIORITIZED = 8, 32
ANSWERED: Final = [(b":status", b"200")]


def word(value: int) -> bytes:
    return struct.pack(">I", value)


def setting(number: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, struct.pack(">HI", number, value))


def request(stand: Stand, *fields: Header) -> bytes:
    """HEADERS of a good request on stream 3, with more fields."""
    return stand.head(3, fields, end=True)


def bare_request(stand: Stand, *fields: Header) -> bytes:
    """HEADERS on stream 3 with these fields alone."""
    return frame(HEADERS, END_HEADERS, 3, stand.encoder.encode(fields))


def half_closed(stand: Stand) -> None:
    """Stream 1 has been ended by the client, and not answered."""
    stand.open(1, end=True)


def ended(stand: Stand) -> None:
    """Stream 1 has been ended by both."""
    stand.open(1, end=True).stream.send_headers(ANSWERED, end=True)


def opened(stand: Stand) -> None:
    stand.open(1)


def opened_with_length(stand: Stand) -> None:
    stand.open(1, [(b"content-length", b"5")])


def skipped(stand: Stand) -> None:
    """Stream 7 is the first, so that 1, 3 and 5 never were."""
    stand.open(7)


def nothing(stand: Stand) -> None:
    pass


CONNECTION: Final[dict[str, tuple[Code, Callable[[Stand], None], Callable[[Stand], bytes]]]] = {
    "§4.2 a frame over the size allowed": (
        Code.FRAME_SIZE_ERROR, opened, lambda _: frame(DATA, 0, 1, bytes(262145))),
    "§4.3 a block that cannot be decoded": (
        Code.COMPRESSION_ERROR, nothing, lambda _: frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff")),
    "§4.3 a block that is cut off": (
        Code.COMPRESSION_ERROR, nothing, lambda _: frame(HEADERS, END_HEADERS, 1, b"\x00\x05ab")),
    "§4.3 an index beyond the table": (
        Code.COMPRESSION_ERROR, nothing, lambda _: frame(HEADERS, END_HEADERS, 1, b"\xfe")),
    "§4.3 a table over the size allowed": (
        Code.COMPRESSION_ERROR, nothing, lambda _: frame(HEADERS, END_HEADERS, 1, b"\x3f\xe2\x1f")),
    "§4.3 a bad block of trailers": (
        Code.COMPRESSION_ERROR, opened, lambda _: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xfe")),
    "§5.1 DATA on an idle stream": (Code.PROTOCOL_ERROR, nothing, lambda _: frame(DATA, 0, 5, b"x")),
    "§5.1 RST_STREAM on an idle stream": (
        Code.PROTOCOL_ERROR, nothing, lambda _: frame(RST_STREAM, 0, 5, word(8))),
    "§5.1 WINDOW_UPDATE on an idle stream": (
        Code.PROTOCOL_ERROR, nothing, lambda _: frame(WINDOW_UPDATE, 0, 5, word(8))),
    "§5.1 DATA on a stream that is over": (Code.STREAM_CLOSED, ended, lambda _: frame(DATA, 0, 1, b"x")),
    "§5.1 HEADERS on a stream that is over": (Code.STREAM_CLOSED, ended, lambda stand: stand.head(1)),
    "§5.1.1 a stream with an even id": (Code.PROTOCOL_ERROR, nothing, lambda stand: stand.head(2)),
    "§5.1.1 DATA on a stream with an even id": (
        Code.PROTOCOL_ERROR, nothing, lambda _: frame(DATA, 0, 2, b"x")),
    "§5.1.1 an id below one that was used": (
        Code.PROTOCOL_ERROR, skipped, lambda stand: stand.head(5)),
    "§6.1 DATA on stream 0": (Code.PROTOCOL_ERROR, nothing, lambda _: frame(DATA, 0, 0, b"x")),
    "§6.1 padding as long as its frame": (
        Code.PROTOCOL_ERROR, opened, lambda _: frame(DATA, PADDED, 1, b"\x04abc")),
    "§6.1 no length of the padding": (Code.FRAME_SIZE_ERROR, opened, lambda _: frame(DATA, PADDED, 1)),
    "§6.2 HEADERS on stream 0": (Code.PROTOCOL_ERROR, nothing, lambda stand: stand.head(0)),
    "§6.2 padding longer than its head": (
        Code.PROTOCOL_ERROR, nothing, lambda _: frame(HEADERS, PADDED | END_HEADERS, 1, b"\x09abc")),
    "§6.2 a head without its padding's length": (
        Code.FRAME_SIZE_ERROR, nothing, lambda _: frame(HEADERS, PADDED | END_HEADERS, 1)),
    "§6.2 a head without its priority": (
        Code.FRAME_SIZE_ERROR, nothing, lambda _: frame(HEADERS, PRIORITIZED | END_HEADERS, 1, b"abc")),
    "§6.2 another frame within a head": (
        Code.PROTOCOL_ERROR, nothing, lambda _: frame(HEADERS, 0, 1, b"\x82") + frame(PING, 0, 0, bytes(8))),
    "§6.2 DATA within a head": (
        Code.PROTOCOL_ERROR, opened, lambda _: frame(HEADERS, 0, 3, b"\x82") + frame(DATA, 0, 1, b"x")),
    "§6.2 an unknown frame within a head": (
        Code.PROTOCOL_ERROR, nothing, lambda _: frame(HEADERS, 0, 1, b"\x82") + frame(99, 0, 1)),
    "§6.3 PRIORITY on stream 0": (Code.PROTOCOL_ERROR, nothing, lambda _: frame(PRIORITY, 0, 0, bytes(5))),
    "§6.4 RST_STREAM on stream 0": (Code.PROTOCOL_ERROR, nothing, lambda _: frame(RST_STREAM, 0, 0, word(8))),
    "§6.4 RST_STREAM of 3 bytes": (
        Code.FRAME_SIZE_ERROR, opened, lambda _: frame(RST_STREAM, 0, 1, bytes(3))),
    "§6.5 SETTINGS on a stream": (Code.PROTOCOL_ERROR, opened, lambda _: frame(SETTINGS, 0, 1)),
    "§6.5 an acknowledgement with settings": (
        Code.FRAME_SIZE_ERROR, nothing, lambda _: frame(SETTINGS, ACK, 0, bytes(6))),
    "§6.5 SETTINGS of 5 bytes": (Code.FRAME_SIZE_ERROR, nothing, lambda _: frame(SETTINGS, 0, 0, bytes(5))),
    "§6.5.2 ENABLE_PUSH 2": (Code.PROTOCOL_ERROR, nothing, lambda _: setting(2, 2)),
    "§6.5.2 INITIAL_WINDOW_SIZE 2^31": (Code.FLOW_CONTROL_ERROR, nothing, lambda _: setting(4, 2**31)),
    "§6.5.2 MAX_FRAME_SIZE 16383": (Code.PROTOCOL_ERROR, nothing, lambda _: setting(5, 16383)),
    "§6.5.2 MAX_FRAME_SIZE 2^24": (Code.PROTOCOL_ERROR, nothing, lambda _: setting(5, 2**24)),
    "§6.6 PUSH_PROMISE": (Code.PROTOCOL_ERROR, opened, lambda _: frame(PUSH_PROMISE, 4, 1, word(2))),
    "§6.7 PING on a stream": (Code.PROTOCOL_ERROR, opened, lambda _: frame(PING, 0, 1, bytes(8))),
    "§6.7 PING of 7 bytes": (Code.FRAME_SIZE_ERROR, nothing, lambda _: frame(PING, 0, 0, bytes(7))),
    "§6.8 GOAWAY on a stream": (Code.PROTOCOL_ERROR, opened, lambda _: frame(GOAWAY, 0, 1, bytes(8))),
    "§6.8 GOAWAY of 7 bytes": (Code.FRAME_SIZE_ERROR, nothing, lambda _: frame(GOAWAY, 0, 0, bytes(7))),
    "§6.9 WINDOW_UPDATE by 0": (Code.PROTOCOL_ERROR, nothing, lambda _: frame(WINDOW_UPDATE, 0, 0, word(0))),
    "§6.9 WINDOW_UPDATE of 5 bytes": (
        Code.FRAME_SIZE_ERROR, opened, lambda _: frame(WINDOW_UPDATE, 0, 1, bytes(5))),
    "§6.9.1 a window of the connection over 2^31-1": (
        Code.FLOW_CONTROL_ERROR, nothing, lambda _: frame(WINDOW_UPDATE, 0, 0, word(2**31 - 1))),
    "§6.9.2 settings that make a window too large": (
        Code.FLOW_CONTROL_ERROR,
        opened,
        lambda _: frame(WINDOW_UPDATE, 0, 1, word(2**31 - 65536)) + setting(4, 65536)),
    "§6.10 CONTINUATION without HEADERS": (
        Code.PROTOCOL_ERROR, nothing, lambda _: frame(CONTINUATION, END_HEADERS, 1, b"\x82")),
    "§6.10 CONTINUATION on another stream": (
        Code.PROTOCOL_ERROR,
        nothing,
        lambda _: frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, END_HEADERS, 3, b"\x82")),
    "§6.10 CONTINUATION after the head's end": (
        Code.PROTOCOL_ERROR, opened, lambda _: frame(CONTINUATION, END_HEADERS, 1, b"\x82")),
}  # fmt: skip


@pytest.mark.parametrize("breach", CONNECTION)
def test_a_breach_that_ends_the_connection(breach: str) -> None:
    code, prepare, sent = CONNECTION[breach]
    stand = Stand()
    prepare(stand)
    stand.frames()
    stand.send(sent(stand))
    assert stand.verdict() == ("connection", code)
    assert stand.transport.half_closed
    lost = None if prepare is ended else Code.CANCEL
    assert [handler.lost_with for handler in stand.handlers] == [lost] * len(stand.handlers)


def reset_by_client(stand: Stand) -> None:
    """Stream 1 has been reset by the client."""
    stand.open(1)
    stand.send(frame(RST_STREAM, 0, 1, word(Code.STREAM_CLOSED)))


STREAM: Final[dict[str, tuple[Code, Callable[[Stand], None], Callable[[Stand], bytes]]]] = {
    "§5.1 DATA on a half-closed stream": (
        Code.STREAM_CLOSED, half_closed, lambda _: frame(DATA, 0, 1, b"x")),
    "§5.1 HEADERS on a half-closed stream": (
        Code.STREAM_CLOSED, half_closed, lambda stand: stand.head(1, end=True)),
    "§5.1 DATA on a stream that its sender has reset": (
        Code.STREAM_CLOSED, reset_by_client, lambda _: frame(DATA, 0, 1, b"x")),
    "§5.1 HEADERS on a stream that its sender has reset": (
        Code.STREAM_CLOSED, reset_by_client, lambda stand: stand.head(1)),
    "§6.3 PRIORITY of 4 bytes": (Code.FRAME_SIZE_ERROR, opened, lambda _: frame(PRIORITY, 0, 1, bytes(4))),
    "§6.9 WINDOW_UPDATE by 0": (Code.PROTOCOL_ERROR, opened, lambda _: frame(WINDOW_UPDATE, 0, 1, word(0))),
    "§6.9.1 a window of a stream over 2^31-1": (
        Code.FLOW_CONTROL_ERROR, opened, lambda _: frame(WINDOW_UPDATE, 0, 1, word(2**31 - 1))),
    "§8.1 trailers that do not end the stream": (
        Code.PROTOCOL_ERROR, opened, lambda stand: frame(HEADERS, END_HEADERS, 1, b"\x00\x01a\x01b")),
    "§8.1 a pseudo-header in trailers": (
        Code.PROTOCOL_ERROR, opened, lambda _: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82")),
    "§8.1.1 less data than content-length": (
        Code.PROTOCOL_ERROR, opened_with_length, lambda _: frame(DATA, END_STREAM, 1, b"four")),
    "§8.1.1 more data than content-length": (
        Code.PROTOCOL_ERROR, opened_with_length, lambda _: frame(DATA, 0, 1, b"sixsix")),
    "§8.1.1 less data than content-length, then trailers": (
        Code.PROTOCOL_ERROR, opened_with_length,
        lambda _: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x01a\x01b")),
}  # fmt: skip


@pytest.mark.parametrize("breach", STREAM)
def test_a_breach_that_ends_the_stream(breach: str) -> None:
    code, prepare, sent = STREAM[breach]
    stand = Stand()
    prepare(stand)
    stand.frames()
    stand.send(sent(stand))
    assert stand.verdict() == ("stream", code)
    assert [handler.lost_with for handler in stand.handlers] == [code] * len(stand.handlers)
    good = stand.open(9, end=True)
    good.stream.send_headers(ANSWERED, end=True)
    assert [(received.kind, received.stream) for received in stand.frames()] == [(HEADERS, 9)]


FIELDS: Final[dict[str, tuple[bytes, list[Header]]]] = {
    "§8.1.1 two lengths": (b"", [(b"content-length", b"1"), (b"content-length", b"2")]),
    "§8.1.1 a length that is no number": (b"", [(b"content-length", b"+1")]),
    "§8.2 a capital letter": (b"", [(b"X-A", b"b")]),
    "§8.2.1 a space in a name": (b"", [(b"a b", b"c")]),
    "§8.2.1 a colon in a name": (b"", [(b"a:b", b"c")]),
    "§8.2.1 an empty name": (b"", [(b"", b"c")]),
    "§8.2.1 a name beyond ASCII": (b"", [(b"\xe4", b"c")]),
    "§8.2.1 NUL in a value": (b"", [(b"a", b"b\0")]),
    "§8.2.1 CR in a value": (b"", [(b"a", b"b\rc")]),
    "§8.2.1 LF at a value's end": (b"", [(b"a", b"b\n")]),
    "§8.2.1 a space before a value": (b"", [(b"a", b" b")]),
    "§8.2.1 a tab after a value": (b"", [(b"a", b"b\t")]),
    "§8.2.2 connection": (b"", [(b"connection", b"close")]),
    "§8.2.2 proxy-connection": (b"", [(b"proxy-connection", b"x")]),
    "§8.2.2 keep-alive": (b"", [(b"keep-alive", b"5")]),
    "§8.2.2 transfer-encoding": (b"", [(b"transfer-encoding", b"chunked")]),
    "§8.2.2 upgrade": (b"", [(b"upgrade", b"h2c")]),
    "§8.2.2 te other than trailers": (b"", [(b"te", b"gzip")]),
    "§8.3 a pseudo-header of answers": (b"", [(b":status", b"200")]),
    "§8.3 an unknown pseudo-header": (b"", [(b":x", b"y")]),
    "§8.3 a pseudo-header after a field": (b":path", [(b"a", b"b"), (b":path", b"/")]),
    "§8.3.1 no :method": (b":method", []),
    "§8.3.1 no :scheme": (b":scheme", []),
    "§8.3.1 no :path": (b":path", []),
    "§8.3.1 an empty :path": (b":path", [(b":path", b"")]),
    "§8.3.1 a :path without a slash": (b":path", [(b":path", b"x")]),
    "§8.3.1 a space in :path": (b":path", [(b":path", b"/ x")]),
    "§8.3.1 two :method": (b"", [(b":method", b"GET")]),
    "§8.3.1 host that is not :authority": (b"", [(b"host", b"other")]),
    "§8.5 CONNECT with a path": (b":method", [(b":method", b"CONNECT")]),
}
"""Which field of a good request is left out, and what is added."""


@pytest.mark.parametrize("breach", FIELDS)
def test_a_malformed_head(breach: str) -> None:
    without, fields = FIELDS[breach]
    stand = Stand()
    block = stand.encoder.encode([*(field for field in REQUEST if field[0] != without), *fields])
    stand.send(frame(HEADERS, END_HEADERS, 3, block))
    assert stand.verdict() == ("stream", Code.PROTOCOL_ERROR)
    assert not stand.handlers


def test_a_head_that_promises_data_and_ends_the_stream() -> None:
    stand = Stand()
    stand.send(request(stand, (b"content-length", b"1")))
    assert stand.verdict() == ("stream", Code.PROTOCOL_ERROR)
    assert not stand.handlers


ALLOWED: Final[dict[str, tuple[Callable[[Stand], None], Callable[[Stand], bytes]]]] = {
    "§4.1 a frame of an unknown kind": (opened, lambda _: frame(77, 0xFF, 1, bytes(100))),
    "§4.1 a reserved bit": (opened, lambda _: frame(DATA, 0, 1 | 2**31, b"x")),
    "§4.1 flags that mean nothing": (nothing, lambda _: frame(PING, 0xFE, 0, bytes(8))),
    "§5.1 RST_STREAM on a stream that is over": (ended, lambda _: frame(RST_STREAM, 0, 1, word(8))),
    "§5.1 WINDOW_UPDATE on a stream that is over": (ended, lambda _: frame(WINDOW_UPDATE, 0, 1, word(8))),
    "§5.1 PRIORITY on an idle stream": (nothing, lambda _: frame(PRIORITY, 0, 77, bytes(5))),
    "§6.1 DATA that is all padding": (opened, lambda _: frame(DATA, PADDED, 1, b"\x03abc")),
    "§6.2 HEADERS with priority and padding": (
        nothing,
        lambda stand: frame(
            HEADERS, PADDED | PRIORITIZED | END_HEADERS, 1,
            b"\x02" + bytes(5) + stand.encoder.encode(REQUEST) + b"ab")),
    "§6.5.2 a setting that nobody knows": (nothing, lambda _: setting(99, 1)),
    "§6.9.1 a window of 2^31-1": (nothing, lambda _: frame(WINDOW_UPDATE, 0, 0, word(2**31 - 65536))),
    "§8.2.2 te: trailers": (nothing, lambda stand: request(stand, (b"te", b"trailers"))),
    "§8.3.1 host that is :authority": (nothing, lambda stand: request(stand, (b"host", b"test"))),
    "§8.3.1 host that is :authority in capitals": (
        nothing, lambda stand: request(stand, (b"host", b"TEST"))),
    "§8.3.1 OPTIONS of *": (
        nothing,
        lambda stand: bare_request(
            stand, (b":method", b"OPTIONS"), (b":scheme", b"http"), (b":path", b"*"))),
    "§8.5 CONNECT": (
        nothing,
        lambda stand: bare_request(stand, (b":method", b"CONNECT"), (b":authority", b"x:1"))),
}  # fmt: skip


@pytest.mark.parametrize("what", ALLOWED)
def test_what_looks_odd_and_is_allowed(what: str) -> None:
    prepare, sent = ALLOWED[what]
    stand = Stand()
    prepare(stand)
    stand.frames()
    stand.send(sent(stand))
    assert stand.verdict() is None
    assert not stand.transport.half_closed
    assert all(handler.lost_with is None for handler in stand.handlers)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(frame(PING, 0, 0, bytes(8)), id="PING"),
        pytest.param(frame(SETTINGS, ACK), id="an acknowledgement"),
        pytest.param(frame(DATA, 0, 1, b"x"), id="DATA"),
        pytest.param(frame(HEADERS, END_HEADERS, 1, b"\x82"), id="HEADERS"),
    ],
)
def test_the_first_frame_is_settings(first: bytes) -> None:
    stand = Stand(greets=False)
    stand.send(PREFACE, first)
    assert stand.verdict() == ("connection", Code.PROTOCOL_ERROR)
