"""Attacks that keep every rule: what is allowed once, done very often. Each is bounded, and honest use is not
taken for one."""

import struct
from collections.abc import Callable

import pytest

from onnxd.http2.abuse import Allowance, PingStrikes, Useless
from onnxd.http2.config import Http2Config
from onnxd.http2.error_codes import ErrorCode as Code
from onnxd.http2.head_block import encode_block
from tests.support.http2_stand import REQUEST, Stand
from tests.support.raw_http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    frame,
)

PRIORITY, CONTINUATION = 2, 9
FEW_RESETS = Http2Config(max_resets=50, resets_per_second=10.0)
HEAD = encode_block([(b":status", b"200")])
TRAILERS = encode_block([(b"grpc-status", b"0")])


def word(value: int) -> bytes:
    return struct.pack(">I", value)


def ending(stand: Stand) -> tuple[int, str] | None:
    """Code and text with which the server ended the connection."""
    for received in stand.frames():
        if received.kind == GOAWAY:
            return received.goaway
    return None


def test_rapid_reset() -> None:
    """CVE-2023-44487: streams that are begun and reset at once, never more than one at a time."""
    stand = Stand(FEW_RESETS)
    for stream in range(1, 1000, 2):
        stand.send(stand.head(stream), frame(RST_STREAM, 0, stream, word(8)))
    assert ending(stand) == (Code.ENHANCE_YOUR_CALM, "too_many_resets")
    assert len(stand.handlers) == 51
    assert all(handler.lost_with is not None for handler in stand.handlers)


BREACHES: dict[str, Callable[[int], bytes]] = {
    "a window that grows by 0": lambda stream: frame(WINDOW_UPDATE, 0, stream, word(0)),
    "a window that is too large": lambda stream: frame(WINDOW_UPDATE, 0, stream, word(2**31 - 1)),
    "a short PRIORITY": lambda stream: frame(PRIORITY, 0, stream, bytes(4)),
    "bad trailers": lambda stream: frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x82"),
    "data after the end": lambda stream: frame(DATA, END_STREAM, stream) * 2,
}


@pytest.mark.parametrize("breach", BREACHES)
def test_resets_that_the_server_is_made_to_send(breach: str) -> None:
    """CVE-2025-8671: the same, with the server's own RST_STREAM."""
    stand = Stand(FEW_RESETS)
    for stream in range(1, 1000, 2):
        stand.send(stand.head(stream), BREACHES[breach](stream))
    assert ending(stand) == (Code.ENHANCE_YOUR_CALM, "too_many_resets")


def test_heads_that_are_refused() -> None:
    stand = Stand(FEW_RESETS)
    for stream in range(1, 1000, 2):
        stand.send(frame(HEADERS, END_HEADERS, stream, b"\x82"))
    assert ending(stand) == (Code.ENHANCE_YOUR_CALM, "too_many_resets")


def test_streams_beyond_the_limit_are_refused_and_the_others_go_on() -> None:
    stand = Stand(Http2Config(max_concurrent_streams=3))
    for stream in (1, 3, 5, 7, 9):
        stand.send(stand.head(stream, end=True))
    refused = [one for one in stand.frames() if one.kind == RST_STREAM]
    assert [(one.stream, int.from_bytes(one.payload, "big")) for one in refused] == [
        (7, Code.REFUSED_STREAM),
        (9, Code.REFUSED_STREAM),
    ]
    stand.handlers[0].stream.answer(HEAD, [], TRAILERS)
    stand.send(stand.head(11, end=True))
    assert stand.verdict() is None
    assert len(stand.handlers) == 4


def test_calls_that_are_cancelled_now_and_then_are_no_attack() -> None:
    stand = Stand(FEW_RESETS)
    for stream in range(1, 1000, 2):
        stand.send(stand.head(stream), frame(RST_STREAM, 0, stream, word(8)))
        stand.loop.advance(0.1)
    assert ending(stand) is None


FLOODS = {
    "PING": frame(PING, 0, 0, bytes(8)),
    "SETTINGS": frame(SETTINGS),
    "empty DATA": frame(DATA, 0, 1),
    "DATA that is all padding": frame(DATA, 8, 1, b"\0"),
    "empty DATA on a stream that is over": frame(DATA, 0, 3),
    "PRIORITY": frame(PRIORITY, 0, 1, bytes(5)),
    "frames of unknown kinds": frame(99, 0, 1),
    "WINDOW_UPDATE of a stream": frame(WINDOW_UPDATE, 0, 1, word(1)),
    "WINDOW_UPDATE of the connection": frame(WINDOW_UPDATE, 0, 0, word(1)),
    "acknowledgements of settings": frame(SETTINGS, ACK),
    "answers to no PING": frame(PING, ACK, 0, bytes(8)),
    "RST_STREAM of a stream that is over": frame(RST_STREAM, 0, 3, word(8)),
    "GOAWAY": frame(GOAWAY, 0, 0, bytes(8)),
}


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_of(what: str) -> None:
    stand = Stand()
    stand.open(1)
    stand.open(3).stream.reset(Code.CANCEL)
    stand.frames()
    stand.send(FLOODS[what] * 5000)
    found = [received.goaway for received in stand.frames() if received.kind == GOAWAY]
    assert found[-1][0] == Code.ENHANCE_YOUR_CALM
    assert stand.transport.half_closed


def test_a_flood_of_continuations() -> None:
    """A head without an end, in frames of one octet (VU#421644), or of none."""
    for octets in (b"", b"\x82"):
        stand = Stand()
        stand.send(frame(HEADERS, 0, 1, b"\x82"), frame(CONTINUATION, 0, 1, octets) * 1000)
        assert stand.verdict() == ("connection", Code.ENHANCE_YOUR_CALM)


def test_a_head_that_is_too_large_in_all() -> None:
    stand = Stand()
    stand.send(frame(HEADERS, 0, 1, bytes(16384)), *[frame(CONTINUATION, 0, 1, bytes(16384))] * 3)
    assert stand.verdict() == ("connection", Code.ENHANCE_YOUR_CALM)


def test_a_bomb_of_indexed_fields() -> None:
    """A field of 4 KB is sent once, and then meant thousands of times by one octet each."""
    stand = Stand()
    block = stand.encoder.encode([*REQUEST, (b"x-large", b"x" * 3900)])
    stand.send(frame(HEADERS, END_HEADERS, 1, block + b"\xbe" * 12000))
    assert stand.verdict() == ("connection", Code.ENHANCE_YOUR_CALM)
    assert not stand.handlers


def test_headers_over_the_limit_reach_their_handler_cut_short() -> None:
    stand = Stand()
    large = stand.open(1, [(b"x-%d" % number, b"value") for number in range(600)], end=True)
    assert large.head.truncated
    assert large.head.headers[:4] == REQUEST
    assert sum(len(name) + len(value) + 32 for name, value in large.head.headers) <= 16384
    assert not stand.open(3, end=True).head.truncated


def test_answers_that_nobody_reads_are_not_kept_without_end() -> None:
    stand = Stand(Http2Config(max_concurrent_streams=10))
    stand.transport.takes = False
    answer = encode_block([(b":status", b"200"), (b"grpc-message", b"x" * 500)])
    for stream in range(1, 8001, 2):
        if not stand.lost:
            stand.open(stream, end=True).stream.send_block(answer, end=True)
    assert stand.transport.aborted
    assert len(stand.transport.written) < 2 * 2**20


def test_acknowledgements_that_nobody_reads_are_not_kept_without_end() -> None:
    stand = Stand(Http2Config(min_ping_interval=0.0, keepalive_without_calls=True))
    stand.transport.takes = False
    count = 0
    while not stand.lost and count < 10**5:
        stand.send(frame(PING, 0, 0, bytes(8)) * 100)
        count += 100
    assert stand.transport.aborted


def test_one_connection_too_many_is_told_so() -> None:
    stand = Stand(greets=False, is_one_too_many=True)
    assert ending(stand) == (Code.ENHANCE_YOUR_CALM, "too many connections")


# Honest use that looks a little alike.


def test_windows_that_are_given_back_frame_by_frame() -> None:
    stand = Stand()
    for stream in range(1, 4001, 2):
        stand.open(stream, end=True).stream.answer(HEAD, [b"x"], TRAILERS)
        stand.send(frame(WINDOW_UPDATE, 0, 0, word(1)) * 4)
    assert ending(stand) is None


def test_probes_at_the_interval_are_answered() -> None:
    stand = Stand()
    stand.open(1)
    stand.frames()
    for number in range(20):
        stand.send(frame(PING, 0, 0, b"%08d" % number))
        stand.loop.advance(10.0)
        answers = [one for one in stand.frames() if one.kind == PING]
        assert Frame(PING, ACK, 0, b"%08d" % number) in answers


def test_probes_after_each_answer_are_forgiven() -> None:
    stand = Stand()
    for stream in range(1, 101, 2):
        stand.open(stream, end=True).stream.answer(HEAD, [], TRAILERS)
        stand.send(frame(PING, 0, 0, bytes(8)))
    assert ending(stand) is None


def test_probes_too_often() -> None:
    strikes = PingStrikes(10.0, without_calls=False)
    assert [strikes.take(at_s, streams=1, sent_frames=0) for at_s in (0, 5, 11, 12, 13)] == [
        True, True, True, True, False,
    ]  # fmt: skip


def test_probes_without_a_call() -> None:
    strict, lax = PingStrikes(10.0, without_calls=False), PingStrikes(10.0, without_calls=True)
    times = (0.0, 60.0, 120.0, 180.0)
    assert [strict.take(at_s, streams=0, sent_frames=0) for at_s in times] == [True, True, True, False]
    assert all(lax.take(at_s, streams=0, sent_frames=0) for at_s in times)


def test_an_allowance_fills_up_again() -> None:
    allowance = Allowance(3, 2.0)
    assert [allowance.take(100.0) for _ in range(3)] == [True] * 3
    assert not allowance.take(100.0)
    assert allowance.take(101.0)


def test_what_is_of_little_use_is_measured_by_the_work_beside_it() -> None:
    useless = Useless()
    assert all(useless.take(work) for work in range(10_000))
    assert not all(useless.take(10_000) for _ in range(5000))
