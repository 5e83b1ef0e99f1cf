"""The walk over frames: however the bytes are cut, the same comes out."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.http2.error_codes import ConnectionFault, ErrorCode
from onnxd.http2.frames import FrameReader
from tests.support.raw_http2 import DATA, END_STREAM, frame

PADDED = 8


@dataclass
class Found:
    """Obeys FrameReceiver."""

    frames: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    window_bytes: int = 0
    padding_bytes: int = 0

    def frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        self.frames.append((kind, flags, stream_id, payload))

    def data(self, flags: int, stream_id: int, part: memoryview, frame_bytes: int, padding: int) -> None:
        self.window_bytes += frame_bytes
        self.padding_bytes += padding
        self.frames.append((DATA, flags & END_STREAM, stream_id, bytes(part)))


def read(data: bytes, cuts: list[int]) -> Found:
    """What a reader finds in data that comes in pieces of these sizes, and then the rest."""
    reader, found, kept = FrameReader(2**20, 2**20), Found(), b""
    at = 0
    for size in [*cuts, len(data)]:
        piece = kept + data[at : at + size]
        at += size
        kept = piece[reader.read(memoryview(piece), found) :]
    assert kept == b""
    return found


def padded(flags: int, data: bytes, padding: int) -> bytes:
    return frame(DATA, flags | PADDED, 1, bytes([padding]) + data + bytes(padding))


payloads = st.binary(max_size=40)
frames = st.one_of(
    st.builds(frame, st.sampled_from([1, 3, 4, 6, 8, 9]), st.integers(0, 255), st.just(3), payloads),
    st.builds(frame, st.just(DATA), st.sampled_from([0, END_STREAM]), st.just(1), payloads),
    st.builds(padded, st.sampled_from([0, END_STREAM]), payloads, st.integers(0, 30)),
    st.builds(frame, st.integers(10, 255), st.integers(0, 255), st.just(5), payloads),
)


def data_of(found: Found) -> tuple[bytes, int, int]:
    """All data, and the bytes that count."""
    return (
        b"".join(payload for kind, _, _, payload in found.frames if kind == DATA),
        found.window_bytes,
        found.padding_bytes,
    )


@given(st.lists(frames, max_size=8), st.lists(st.integers(1, 30), max_size=30))
def test_it_does_not_matter_how_the_bytes_are_cut(sent: list[bytes], cuts: list[int]) -> None:
    data = b"".join(sent)
    whole, pieces = read(data, []), read(data, cuts)
    assert data_of(whole) == data_of(pieces)
    assert [one for one in whole.frames if one[0] != DATA] == [one for one in pieces.frames if one[0] != DATA]
    ends = [one[1:3] for one in whole.frames if one[0] == DATA and one[1] & END_STREAM]
    assert ends == [one[1:3] for one in pieces.frames if one[0] == DATA and one[1] & END_STREAM]


def test_data_is_handed_on_as_it_comes() -> None:
    reader, found = FrameReader(2**20, 2**14), Found()
    data = frame(DATA, END_STREAM, 1, b"abcdef")
    assert reader.read(memoryview(data[:12]), found) == 12
    assert found.frames == [(DATA, 0, 1, b"abc")]
    assert found.window_bytes == 6
    assert reader.read(memoryview(data[12:]), found) == 3
    assert found.frames[1:] == [(DATA, END_STREAM, 1, b"def")]
    assert found.window_bytes == 6


def test_a_large_frame_that_is_not_data_is_refused_before_it_has_come() -> None:
    reader = FrameReader(2**20, 2**14)
    with pytest.raises(ConnectionFault) as raised:
        reader.read(memoryview(frame(1, 4, 1, bytes(2**14 + 1))[:100]), Found())
    assert raised.value.code is ErrorCode.ENHANCE_YOUR_CALM


def test_a_large_frame_of_an_unknown_kind_is_passed_over() -> None:
    assert read(frame(99, 0, 1, bytes(2**19)) + frame(6, 0, 0, b"x"), [100, 2**18]).frames == [
        (99, 0, 1, b""),
        (6, 0, 0, b"x"),
    ]
