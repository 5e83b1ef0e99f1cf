"""How a connection begins, grows old, falls silent and ends; in a time that is turned by hand."""

import struct

import pytest

from onnxd.http2.config import Http2Config
from onnxd.http2.error_codes import ErrorCode as Code
from onnxd.http2.head_block import encode_block
from tests.support.http2_stand import Held, Stand
from tests.support.raw_http2 import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    frame,
)

HEAD = encode_block([(b":status", b"200")])
TRAILERS = encode_block([(b"grpc-status", b"0")])


def answer(held: Held, size: int = 0) -> None:
    held.stream.answer(HEAD, [bytes(size)], TRAILERS)


def goaways(received: list[Frame]) -> list[tuple[int, int, str]]:
    """Last stream, code and text of each."""
    found = [one for one in received if one.kind == GOAWAY]
    return [(int.from_bytes(one.payload[:4], "big"), *one.goaway) for one in found]


def pings(received: list[Frame]) -> list[bytes]:
    """What we are asked to send back."""
    return [one.payload for one in received if one.kind == PING and not one.flags & ACK]


# The beginning.


@pytest.mark.parametrize("size", [1, 5, 24, 30])
def test_the_preface_may_come_in_pieces(size: int) -> None:
    stand = Stand(greets=False)
    stand.send_in_pieces(PREFACE + frame(SETTINGS) + stand.head(1, end=True), size)
    assert len(stand.handlers) == 1
    assert [one.kind for one in stand.frames()] == [SETTINGS, WINDOW_UPDATE, SETTINGS]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="HTTP/1.1"),
        pytest.param(b"PRI * HTTP/1.1\r\n\r\n", id="nearly HTTP/2"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"\xff" * 500, id="500 x 0xFF"),
    ],
)
def test_who_does_not_speak_http_2_is_told_so(data: bytes) -> None:
    stand = Stand(greets=False)
    stand.send(data)
    assert bytes(stand.transport.written).startswith(b"HTTP/1.1 505 ")
    assert b"this port speaks HTTP/2 only" in stand.transport.written
    assert stand.transport.half_closed


@pytest.mark.parametrize(
    "said", [b"", PREFACE[:10], PREFACE], ids=["nothing", "half a preface", "no settings"]
)
def test_a_connection_that_says_too_little_is_cut(said: bytes) -> None:
    stand = Stand(greets=False)
    stand.send(said)
    stand.loop.advance(9.0)
    assert not stand.lost
    stand.loop.advance(4.0)
    assert stand.transport.aborted


def test_a_head_without_an_end_is_not_waited_for() -> None:
    stand = Stand()
    stand.send(frame(HEADERS, 0, 1, b"\x82"))
    stand.loop.advance(13.0)
    assert stand.verdict() == ("connection", Code.ENHANCE_YOUR_CALM)


@pytest.mark.parametrize("size", [3, 20], ids=["of its head", "of its payload"])
def test_a_frame_of_which_a_part_is_missing_is_not_waited_for(size: int) -> None:
    stand = Stand()
    stand.send(stand.head(1)[:size])
    for _ in range(3):
        stand.loop.advance(4.0)
        stand.send(b"\x80" if size == 20 else b"")
    stand.loop.advance(3.0)
    assert stand.verdict() == ("connection", Code.ENHANCE_YOUR_CALM)


def test_a_busy_connection_that_is_always_within_a_frame_is_left_alone() -> None:
    stand = Stand()
    data = b"".join(stand.head(stream, end=True) for stream in range(1, 41, 2))
    for at in range(0, len(data), 20):
        stand.send(data[at : at + 20])
        stand.loop.advance(5.0)
    assert len(stand.handlers) == 20


# Silence.


def test_a_silent_connection_with_a_stream_is_probed_and_cut() -> None:
    stand = Stand()
    held = stand.open(1)
    stand.frames()
    stand.loop.advance(63.0)
    assert len(pings(stand.frames())) == 1
    stand.loop.advance(15.0)
    assert not stand.lost
    stand.loop.advance(10.0)
    assert stand.transport.aborted
    assert held.lost_with == Code.CANCEL


def test_a_probe_that_is_answered_is_followed_by_the_next() -> None:
    stand = Stand()
    stand.open(1)
    stand.frames()
    for _ in range(5):
        stand.loop.advance(63.0)
        (payload,) = pings(stand.frames())
        stand.send(frame(PING, ACK, 0, payload))
    assert not stand.lost


def test_a_silent_connection_without_a_stream_is_left_alone() -> None:
    stand = Stand()
    stand.loop.advance(1000.0)
    assert stand.frames() == []


def test_a_silent_connection_without_a_stream_is_probed_where_that_is_asked_for() -> None:
    stand = Stand(Http2Config(keepalive_without_calls=True))
    stand.loop.advance(63.0)
    assert len(pings(stand.frames())) == 1


# Readers that do not read.


def test_a_reader_that_takes_nothing_is_cut() -> None:
    stand = Stand(Http2Config(keepalive_time=1000.0))
    held = stand.open(1, end=True)
    stand.transport.takes = False
    answer(held, 1000)
    stand.loop.advance(55.0)
    assert not stand.lost
    stand.loop.advance(15.0)
    assert stand.transport.aborted


def test_a_reader_that_takes_a_little_now_and_then_is_not_cut() -> None:
    stand = Stand(Http2Config(keepalive_time=1000.0))
    held = stand.open(1, end=True)
    stand.transport.takes = False
    answer(held, 1000)
    for _ in range(10):
        stand.loop.advance(50.0)
        stand.transport.unsent -= 1
    assert not stand.lost


def test_a_stream_whose_window_stays_closed_is_ended() -> None:
    stand = Stand()
    held = stand.open(1, end=True)
    stand.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**20)))
    answer(held, 100_000)
    stand.frames()
    for _ in range(13):
        stand.send(frame(SETTINGS, ACK))
        stand.loop.advance(5.0)
    stand.loop.advance(10.0)
    assert stand.verdict() == ("stream", Code.CANCEL)
    assert held.lost_with == Code.CANCEL
    assert not stand.lost


def test_a_stream_whose_window_opens_a_little_now_and_then_is_not_ended() -> None:
    stand = Stand()
    held = stand.open(1, end=True)
    answer(held, 100_000)
    for _ in range(10):
        stand.send(*(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 1)) for stream in (0, 1)))
        stand.loop.advance(50.0)
    assert stand.verdict() is None
    assert held.lost_with is None


# The end.


def test_leaving_takes_two_steps_so_that_no_stream_is_lost() -> None:
    stand = Stand()
    first = stand.open(1, end=True)
    stand.frames()
    stand.connection.leave(30.0)
    received = stand.frames()
    assert goaways(received) == [(2**31 - 1, Code.NO_ERROR, "")]
    (payload,) = pings(received)
    second = stand.open(3, end=True)  # it was on its way
    stand.send(frame(PING, ACK, 0, payload))
    assert goaways(stand.frames()) == [(3, Code.NO_ERROR, "")]
    stand.send(stand.head(5, end=True))
    assert len(stand.handlers) == 2
    answer(first)
    answer(second)
    assert [one.stream for one in stand.frames() if one.flags & END_STREAM] == [1, 3]
    assert stand.transport.half_closed


def test_data_of_a_stream_that_came_too_late_is_passed_over() -> None:
    stand = Stand()
    stand.open(1)
    stand.connection.leave(30.0)
    (payload,) = pings(stand.frames())
    stand.send(frame(PING, ACK, 0, payload), stand.head(3), frame(DATA, END_STREAM, 3, b"x"))
    assert stand.verdict() is None


def test_a_client_that_never_answers_is_told_the_last_stream_all_the_same() -> None:
    stand = Stand()
    stand.connection.leave(100.0)
    stand.frames()
    stand.loop.advance(25.0)
    assert goaways(stand.frames()) == [(0, Code.NO_ERROR, "")]
    assert stand.transport.half_closed


def test_leaving_has_an_end() -> None:
    stand = Stand()
    held = stand.open(1)
    stand.connection.leave(5.0)
    stand.loop.advance(10.0)
    assert stand.transport.aborted
    assert held.lost_with == Code.CANCEL


def test_an_old_connection_is_asked_to_go() -> None:
    stand = Stand()
    stand.loop.advance(1799.0)
    assert goaways(stand.frames()) == []
    stand.loop.advance(10.0)
    assert goaways(stand.frames())[0] == (2**31 - 1, Code.NO_ERROR, "max_age")


def test_a_client_that_says_goodbye_gets_its_answers() -> None:
    stand = Stand()
    held = stand.open(1, end=True)
    stand.send(frame(GOAWAY, 0, 0, bytes(8)))
    answer(held, 10)
    received = stand.frames()
    assert stand.body(received) == bytes(10)
    (payload,) = pings(received)
    stand.send(frame(PING, ACK, 0, payload))
    assert stand.transport.half_closed


def test_a_connection_that_has_ended_waits_for_its_client_and_not_for_ever() -> None:
    stand = Stand()
    stand.send(frame(GOAWAY, 0, 1, bytes(8)))
    assert stand.transport.half_closed
    stand.send(b"this is read and dropped")
    assert not stand.lost
    stand.loop.advance(5.0)
    assert stand.transport.closed


def leave_with_an_answer(size: int) -> Stand:
    """A connection that ends with an answer of which the socket has taken nothing yet."""
    stand = Stand()
    held = stand.open(1, end=True)
    stand.connection.leave(30.0)
    (payload,) = pings(stand.frames())
    stand.send(frame(PING, ACK, 0, payload))
    stand.transport.takes = False
    answer(held, size)
    stand.loop.turn()
    assert stand.transport.half_closed
    return stand


def test_the_last_answer_may_be_taken_slowly() -> None:
    stand = leave_with_an_answer(50_000)
    while stand.transport.unsent > 0:
        stand.loop.advance(30.0)
        assert not stand.lost
        stand.transport.unsent = max(0, stand.transport.unsent - 10_000)
    stand.loop.advance(5.0)
    assert stand.transport.closed
    assert not stand.transport.aborted


def test_the_last_answer_is_not_kept_for_a_reader_that_reads_nothing() -> None:
    stand = leave_with_an_answer(50_000)
    stand.loop.advance(70.0)
    assert stand.transport.aborted


def test_nothing_is_written_after_the_last_word() -> None:
    stand = Stand(Http2Config(stream_window=65536, connection_window=65536), consumes=False)
    held = stand.open(1)
    stand.send(*[frame(DATA, 0, 1, bytes(16000))] * 4, frame(DATA, 0, 0))
    stand.loop.turn()
    held.stream.consumed(65536)
    held.stream.send_block(HEAD)
    stand.loop.advance(1.0)
    assert goaways(stand.frames())[0][1] == Code.PROTOCOL_ERROR
    assert held.lost_with == Code.CANCEL


def test_what_is_due_when_the_last_stream_ends_is_written_before_the_end() -> None:
    stand = Stand(Http2Config(stream_window=65536, connection_window=65536), consumes=False)
    held = stand.open(1)
    stand.connection.leave(30.0)
    (payload,) = pings(stand.frames())
    stand.send(frame(PING, ACK, 0, payload))
    stand.frames()
    held.consumes = True
    stand.send(*[frame(DATA, 0, 1, bytes(16000))] * 3, frame(RST_STREAM, 0, 1, bytes(4)), frame(SETTINGS))
    stand.loop.turn()
    assert stand.transport.half_closed


def test_a_lost_connection_loses_its_streams() -> None:
    stand = Stand()
    waiting, sending, done = stand.open(1), stand.open(3, end=True), stand.open(5, end=True)
    sending.stream.send_block(HEAD)
    sending.stream.send_data([bytes(100_000)])
    answer(done)
    stand.connection.connection_lost(None)
    assert (waiting.lost_with, sending.lost_with, done.lost_with) == (Code.CANCEL, Code.CANCEL, None)


def test_an_early_answer_asks_for_no_more_of_the_request() -> None:
    stand = Stand()
    held = stand.open(1)
    answer(held)
    received = stand.frames()
    assert [one.kind for one in received] == [HEADERS, DATA, HEADERS, RST_STREAM]
    assert int.from_bytes(received[-1].payload, "big") == Code.NO_ERROR
    stand.send(frame(DATA, 0, 1, bytes(100)), frame(DATA, END_STREAM, 1))
    assert stand.verdict() is None
    assert held.lost_with is None
    assert held.trailers is None
