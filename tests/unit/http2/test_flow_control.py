"""Windows in both directions (RFC 9113 §5.2 and §6.9): of streams, of the connection, and of the socket."""

import asyncio
import struct
from typing import Any

import pytest

from onnxd.http2.config import DEFAULT_WINDOW, Http2Config
from onnxd.http2.error_codes import ErrorCode as Code
from onnxd.http2.head_block import encode_block
from onnxd.http2.windows import ReceiveWindow
from tests.support.http2_stand import Held, Stand
from tests.support.raw_http2 import (
    DATA,
    END_STREAM,
    HEADERS,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    frame,
)

SMALL = Http2Config(stream_window=65536, connection_window=2 * 65536)
HEAD = encode_block([(b":status", b"200")])
TRAILERS = encode_block([(b"grpc-status", b"0")])
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5


def increments(received: list[Frame]) -> dict[int, int]:
    """What was given back to each stream, and to the connection as stream 0."""
    given: dict[int, int] = {}
    for one in received:
        if one.kind == WINDOW_UPDATE:
            given[one.stream] = given.get(one.stream, 0) + int.from_bytes(one.payload, "big")
    return given


def update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def setting(number: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, struct.pack(">HI", number, value))


def fill(stand: Stand, stream: int, count: int) -> None:
    """Send so many bytes of data on a stream."""
    while count:
        size = min(count, 16384)
        stand.send(frame(DATA, 0, stream, bytes(size)))
        count -= size


def test_the_windows_are_told_at_the_start() -> None:
    stand = Stand(SMALL, greets=False)
    stand.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame(SETTINGS))
    received = stand.frames()
    settings = dict(struct.iter_unpack(">HI", received[0].payload))
    assert settings[INITIAL_WINDOW_SIZE] == 65536
    assert increments(received) == {0: 2 * 65536 - DEFAULT_WINDOW}


def test_a_window_is_given_back_in_halves() -> None:
    window = ReceiveWindow(100)
    assert window.take(80)
    assert [window.give_back(20), window.give_back(29), window.give_back(1), window.give_back(30)] == [
        0,
        0,
        50,
        0,
    ]
    assert window.take(70)
    assert not window.take(1)


def test_what_is_consumed_is_given_back_to_both_windows() -> None:
    stand = Stand(SMALL)
    held = stand.open(1)
    fill(stand, 1, 10 * 65536)
    assert len(held.data) == 10 * 65536
    given = increments(stand.frames())
    assert given[0] >= 9 * 65536
    assert given[1] >= 9 * 65536


def test_what_is_not_consumed_holds_the_caller() -> None:
    stand = Stand(SMALL, consumes=False)
    held = stand.open(1)
    fill(stand, 1, 65536)
    assert increments(stand.frames()) == {}
    held.stream.consumed(65536)
    assert increments(stand.frames()) == {0: 65536, 1: 65536}


def test_more_than_was_received_is_never_given_back() -> None:
    stand = Stand(SMALL, consumes=False)
    held = stand.open(1)
    fill(stand, 1, 40000)
    held.stream.consumed(2**40)
    held.stream.consumed(2**40)
    assert increments(stand.frames()).get(1) == 40000


def test_data_beyond_a_streams_window_ends_it() -> None:
    stand = Stand(SMALL, consumes=False)
    held = stand.open(1)
    fill(stand, 1, 65536)
    fill(stand, 1, 1)
    assert stand.verdict() == ("stream", Code.FLOW_CONTROL_ERROR)
    assert held.lost_with == Code.FLOW_CONTROL_ERROR


def test_data_beyond_the_connections_window_ends_it() -> None:
    stand = Stand(SMALL, consumes=False)
    for stream in (1, 3, 5):
        stand.open(stream)
    fill(stand, 1, 65536)
    fill(stand, 3, 65536)
    fill(stand, 5, 1)
    assert stand.verdict() == ("connection", Code.FLOW_CONTROL_ERROR)


def test_what_a_lost_stream_had_not_consumed_is_given_back() -> None:
    stand = Stand(SMALL, consumes=False)
    stand.open(1)
    fill(stand, 1, 65536)
    stand.send(frame(RST_STREAM, 0, 1, struct.pack(">I", 8)))
    assert increments(stand.frames()) == {0: 65536}


def test_padding_and_data_on_its_way_to_a_reset_stream_is_given_back() -> None:
    stand = Stand(SMALL, consumes=False)
    stand.open(1)
    for _ in range(300):
        stand.send(frame(DATA, 8, 1, b"\xff" + bytes(255)))
    assert increments(stand.frames()) == {0: 65536, 1: 65536}
    stand.handlers[0].stream.reset(Code.CANCEL)
    fill(stand, 1, 65536)
    assert stand.verdict() == ("stream", Code.CANCEL)
    assert not stand.lost


def answer(held: Held, size: int) -> None:
    held.stream.send_block(HEAD)
    held.stream.send_data([bytes(size)])
    held.stream.send_block(TRAILERS, end=True)


def kinds(received: list[Frame], stream: int) -> list[int]:
    """Of the frames of a stream, repeats left out."""
    found = [one.kind for one in received if one.stream == stream]
    return [kind for at, kind in enumerate(found) if not at or found[at - 1] != kind]


def test_an_answer_waits_for_the_streams_window() -> None:
    stand = Stand()
    held = stand.open(1, end=True)
    stand.send(update(0, 2**20))
    answer(held, 100_000)
    received = stand.frames()
    assert len(stand.body(received)) == 65535
    assert kinds(received, 1) == [HEADERS, DATA]
    assert held.stream.unsent_bytes == 100_000 - 65535
    stand.send(update(1, 10))
    assert len(stand.body(stand.frames())) == 10
    stand.send(update(1, 2**20))
    received = stand.frames()
    assert len(stand.body(received)) == 100_000 - 65545
    assert kinds(received, 1) == [DATA, HEADERS]
    assert received[-1].flags & END_STREAM


def test_answers_wait_for_the_connections_window_and_take_turns() -> None:
    stand = Stand()
    stand.send(setting(INITIAL_WINDOW_SIZE, 2**20))
    first, second = stand.open(1, end=True), stand.open(3, end=True)
    stand.frames()
    answer(first, 100_000)
    answer(second, 100_000)
    received = stand.frames()
    assert len(stand.body(received, 1)) + len(stand.body(received, 3)) == 65535
    stand.send(update(0, 65536))
    received = stand.frames()
    assert (len(stand.body(received, 1)), len(stand.body(received, 3))) == (32768, 32768)
    stand.send(update(0, 2**20))
    assert [one.stream for one in stand.frames() if one.flags & END_STREAM] in ([1, 3], [3, 1])


def test_a_window_that_settings_lower_below_zero() -> None:
    stand = Stand()
    held = stand.open(1, end=True)
    answer(held, 70_000)
    stand.frames()
    stand.send(setting(INITIAL_WINDOW_SIZE, 10), update(0, 2**20), update(1, 65525))
    assert stand.body(stand.frames()) == b""
    stand.send(update(1, 1))
    assert len(stand.body(stand.frames())) == 1
    stand.send(setting(INITIAL_WINDOW_SIZE, 2**20))
    assert len(stand.body(stand.frames())) == 70_000 - 65536


def test_an_end_without_data_needs_no_window() -> None:
    stand = Stand()
    stand.send(setting(INITIAL_WINDOW_SIZE, 0))
    held = stand.open(1, end=True)
    stand.frames()
    held.stream.send_block(HEAD)
    held.stream.send_data([], end=True)
    assert [(one.kind, one.flags & END_STREAM) for one in stand.frames()] == [
        (HEADERS, 0),
        (DATA, END_STREAM),
    ]


@pytest.mark.parametrize("largest", [16384, 20000, 2**24 - 1])
def test_frames_are_no_larger_than_the_client_allows(largest: int) -> None:
    stand = Stand()
    stand.send(setting(MAX_FRAME_SIZE, largest), setting(INITIAL_WINDOW_SIZE, 2**20), update(0, 2**20))
    answer(stand.open(1, end=True), 200_000)
    sizes = [len(one.payload) for one in stand.frames() if one.kind == DATA]
    assert sum(sizes) == 200_000
    assert max(sizes) == min(largest, 65536)


def test_the_parts_of_a_large_answer_are_not_joined() -> None:
    stand = Stand()
    stand.send(setting(INITIAL_WINDOW_SIZE, 2**20), update(0, 2**20))
    held = stand.open(1, end=True)
    tensor = memoryview(bytearray(200_000))
    stand.transport.writes.clear()
    held.stream.answer(HEAD, [b"head", tensor], TRAILERS)
    stand.loop.turn()
    (written,) = stand.transport.writes
    assert isinstance(written, list)
    assert (
        sum(len(part) for part in written if isinstance(part, memoryview) and part.obj is tensor.obj)
        == 200_000
    )


def test_answers_of_one_turn_are_one_write() -> None:
    stand = Stand()
    opened = [stand.open(stream, end=True) for stream in (1, 3, 5)]
    stand.transport.writes.clear()
    for held in opened:
        held.stream.answer(HEAD, [b"abc"], TRAILERS)
    stand.loop.turn()
    (written,) = stand.transport.writes
    assert isinstance(written, bytes)


def test_views_of_other_items_count_by_their_bytes() -> None:
    stand = Stand()
    held = stand.open(1, end=True)
    numbers: Any = memoryview(bytes(24)).cast("d")
    held.stream.answer(HEAD, [numbers], TRAILERS)
    assert stand.body(stand.frames()) == bytes(24)


def test_data_waits_while_the_socket_takes_nothing() -> None:
    stand = Stand()
    stand.send(setting(INITIAL_WINDOW_SIZE, 2**30), update(0, 2**30))
    held = stand.open(1, end=True)
    stand.transport.takes = False
    answer(held, 10 * 2**20)
    stand.loop.turn()
    assert held.stream.unsent_bytes > 9 * 2**20
    while held.stream.unsent_bytes:
        stand.transport.read_on()
    assert len(stand.body(stand.frames())) == 10 * 2**20


async def test_a_handler_waits_for_room() -> None:
    stand = Stand()
    held = stand.open(1)
    await held.stream.room()
    held.stream.send_data([bytes(2**20)])
    waiting = asyncio.ensure_future(held.stream.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    stand.send(update(0, 2**20), update(1, 2**20))
    await waiting


@pytest.mark.parametrize("how", ["the client's reset", "ours", "a lost connection"])
async def test_nobody_waits_for_room_on_a_stream_that_is_over(how: str) -> None:
    stand = Stand()
    held = stand.open(1)
    held.stream.send_data([bytes(2**20)])
    waiting = asyncio.ensure_future(held.stream.room())
    await asyncio.sleep(0)
    if how == "ours":
        held.stream.reset(Code.CANCEL)
    elif how == "a lost connection":
        stand.transport.abort()
    else:
        stand.send(frame(RST_STREAM, 0, 1, struct.pack(">I", 8)))
    await waiting
    held.stream.send_data([b"goes nowhere"])
    held.stream.send_block(TRAILERS, end=True)
    held.stream.reset(Code.CANCEL)
    assert held.stream.unsent_bytes == 0
