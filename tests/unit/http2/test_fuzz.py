"""Any bytes: never an exception, and either the connection goes on or it has said why not. And beside `h2`,
another reading of RFC 9113: what it takes we take, with the same outcome for every stream."""

import struct
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from hypothesis import given
from hypothesis import strategies as st

from onnxd.http2.config import Http2Config
from onnxd.http2.head_block import encode_block
from tests.support.http2_stand import REQUEST, Held, Stand
from tests.support.raw_http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    headers,
)

HEAD = encode_block([(b":status", b"200")])
TRAILERS = encode_block([(b"grpc-status", b"0")])

BLOCK = headers({str(name, "ascii"): str(value, "ascii") for name, value in REQUEST})
octets = st.binary(max_size=60)
cut_blocks = st.integers(0, 40).map(lambda cut: BLOCK[cut:])
blocks = st.one_of(st.just(BLOCK), octets, octets.map(BLOCK.__add__), cut_blocks)
words = st.one_of(
    st.sampled_from([0, 1, 8, 65535, 2**31 - 1, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1)
).map(lambda word: struct.pack(">I", word))
numbers = st.sampled_from([0, 1, 2, 16384, 65535, 2**24 - 1, 2**31 - 1, 2**32 - 1])
setting = st.builds(struct.pack, st.just(">HI"), st.integers(0, 8), numbers)
settings = st.lists(setting, max_size=3).map(b"".join)
streams = st.sampled_from([0, 1, 1, 3, 3, 5, 7, 2, 2**31 - 1, 2**31 + 1])
flags = st.one_of(st.sampled_from([0, 1, 4, 5]), st.integers(0, 255))
frames = st.one_of(
    st.builds(frame, st.just(HEADERS), st.sampled_from([4, 5, 5, 0, 0x2C]), streams, blocks),
    st.builds(frame, st.just(DATA), flags, streams, octets),
    st.builds(frame, st.just(RST_STREAM), flags, streams, words),
    st.builds(frame, st.just(WINDOW_UPDATE), flags, streams, words),
    st.builds(frame, st.just(SETTINGS), st.sampled_from([0, 0, 0, 1]), st.just(0), settings),
    st.builds(frame, st.integers(0, 11), flags, streams, octets),
    st.builds(frame, st.just(9), st.sampled_from([0, 4]), streams, blocks),
    octets,
)


def answer_some(stand: Stand) -> None:
    """Handlers that answer at once, in part, never, or break off."""
    for at, held in enumerate(stand.handlers):
        if held.lost_with is None and held.trailers is not None:
            if at % 4 == 0:
                held.stream.answer(HEAD, [bytes(held.data)], TRAILERS)
            elif at % 4 == 1:
                held.stream.send_data([bytes(100_000)])
            elif at % 4 == 2:
                held.stream.reset(8)


@given(st.lists(frames, max_size=12), st.integers(1, 200))
def test_frames_that_may_be_anything(sent: list[bytes], piece: int) -> None:
    stand = Stand(Http2Config(max_concurrent_streams=3))
    for part in sent:
        stand.send_in_pieces(part, piece)
        answer_some(stand)
    received = stand.frames()
    ended = [one for one in received if one.kind == GOAWAY and one.goaway[0]]
    assert len(ended) <= 1
    assert stand.transport.half_closed or not ended
    assert all(held.lost_with is not None or held.stream.unsent_bytes <= 100_000 for held in stand.handlers)
    stand.loop.advance(3000.0)
    assert stand.lost


@given(st.binary(max_size=300), st.booleans())
def test_bytes_that_may_be_anything(data: bytes, greets: bool) -> None:
    stand = Stand(greets=greets)
    stand.send(data)
    stand.loop.advance(3000.0)
    assert stand.lost


STEPS = ("open", "open and end", "data", "end", "reset", "trailers", "window", "settings", "ping")
steps = st.lists(
    st.tuples(
        st.sampled_from(STEPS),
        st.sampled_from([1, 3, 5, 7]),
        st.integers(0, 3000),
    ),
    max_size=25,
)


def outcome(events: list[Any]) -> dict[int, tuple[bytes, str]]:
    """Of each stream, its data and how it ended."""
    streams: dict[int, tuple[bytes, str]] = {}
    for event in events:
        if isinstance(event, h2.events.RequestReceived):
            streams[event.stream_id] = (b"", "open")
        elif isinstance(event, h2.events.DataReceived):
            streams[event.stream_id] = (streams[event.stream_id][0] + event.data, "open")
        elif isinstance(event, h2.events.StreamEnded):
            streams[event.stream_id] = (streams[event.stream_id][0], "ended")
        elif isinstance(event, h2.events.StreamReset):
            streams[event.stream_id] = (streams[event.stream_id][0], "reset")
    return streams


def ending_of(held: Held) -> str:
    if held.lost_with is not None:
        return "reset"
    return "open" if held.trailers is None else "ended"


def bytes_of(step: str, stream: int, size: int, encoder: Any) -> bytes:
    """What a client of h2's kind sends for a step, be it allowed now or not."""
    match step:
        case "open" | "open and end":
            end = END_STREAM if step == "open and end" else 0
            return frame(HEADERS, END_HEADERS | end, stream, encoder.encode(REQUEST))
        case "data":
            return frame(DATA, 0, stream, bytes(size))
        case "end":
            return frame(DATA, END_STREAM, stream, bytes(size))
        case "reset":
            return frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
        case "trailers":
            return frame(HEADERS, END_HEADERS | END_STREAM, stream, encoder.encode([(b"x-end", b"yes")]))
        case "window":
            return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size + 1))
        case "settings":
            return frame(SETTINGS, 0, 0, struct.pack(">HI", 4, size))
    return frame(6, 0, 0, bytes(8))


@given(steps)
def test_what_h2_takes_is_taken_here_with_the_same_outcome(taken: list[tuple[str, int, int]]) -> None:
    reference = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
    reference.initiate_connection()
    reference.receive_data(PREFACE + frame(SETTINGS))
    stand = Stand(Http2Config(min_ping_interval=0.0, keepalive_without_calls=True))
    events: list[Any] = []
    for step, stream, size in taken:
        if not step.startswith("open") and stream not in outcome(events):
            continue  # on streams that never began h2 is milder than the RFC
        sent = bytes_of(step, stream, size, stand.encoder)
        try:
            found = reference.receive_data(sent)
        except h2.exceptions.ProtocolError:
            break  # ours may be milder: it lets one stream go where h2 gives up the connection
        events += found
        stand.send(sent)
        for event in found:
            if isinstance(event, h2.events.DataReceived):
                reference.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
    else:
        assert not [one for one in stand.frames() if one.kind == GOAWAY]
    assert [(bytes(held.data), ending_of(held)) for held in stand.handlers] == list(outcome(events).values())
