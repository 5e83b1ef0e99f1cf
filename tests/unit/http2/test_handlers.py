"""The protocol above: its bugs end its own stream, and what it is told comes in order and once."""

import pytest
from structlog.testing import capture_logs

from onnxd.http2.error_codes import ErrorCode as Code
from onnxd.http2.head_block import encode_block
from onnxd.http2.stream import Header
from tests.support.http2_stand import Held, Stand
from tests.support.quiet import forget_loggers
from tests.support.raw_http2 import DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, frame

HEAD = encode_block([(b":status", b"200")])
TRAILERS = encode_block([(b"grpc-status", b"0")])


class Broken(Held):
    """Fails at what its request's path names."""

    def data_received(self, data: bytes | memoryview) -> None:
        self._fail_at("data")

    def end_received(self, trailers: list[Header]) -> None:
        self._fail_at("end")

    def lost(self, code: int) -> None:
        super().lost(code)
        self._fail_at("loss")

    def _fail_at(self, what: str) -> None:
        if (b"fails", what.encode()) in self.stream.headers:
            raise ValueError("a handler's bug")


@pytest.mark.parametrize("at", ["data", "end", "loss"])
def test_a_bug_of_a_handler_ends_its_stream_and_no_other(at: str) -> None:
    forget_loggers()
    stand = Stand(handler=Broken)
    broken, other = stand.open(1, [(b"fails", at.encode())]), stand.open(3)
    with capture_logs() as logs:
        if at == "loss":
            stand.send(frame(RST_STREAM, 0, 1, bytes(4)))
        else:
            stand.send(frame(DATA, END_STREAM if at == "end" else 0, 1, b"x"))
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert stand.verdict() == (None if at == "loss" else ("stream", Code.INTERNAL_ERROR))
    assert broken.lost_with == (0 if at == "loss" else None)
    other.stream.answer(HEAD, [], TRAILERS)
    assert [one.stream for one in stand.frames() if one.kind == HEADERS] == [3, 3]


def test_a_bug_at_the_beginning_of_a_stream_ends_it() -> None:
    forget_loggers()

    def fails(stream: object) -> Held:
        raise ValueError("a handler's bug")

    stand = Stand(handler=fails)
    with capture_logs() as logs:
        stand.send(stand.head(1))
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert stand.verdict() == ("stream", Code.INTERNAL_ERROR)
    stand.transport.abort()


def test_trailers_reach_their_handler_after_the_data() -> None:
    stand = Stand()
    held = stand.open(1)
    block = stand.encoder.encode([(b"x-sum", b"3")])
    stand.send(frame(DATA, 0, 1, b"abc"), frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
    assert held.data == b"abc"
    assert held.trailers == [(b"x-sum", b"3")]


def test_a_stream_that_its_handler_resets_is_not_lost_to_it() -> None:
    stand = Stand()
    held = stand.open(1)
    held.stream.reset(Code.CANCEL)
    held.stream.reset(Code.CANCEL)
    stand.send(frame(DATA, END_STREAM, 1, b"on its way"))
    assert [one.kind for one in stand.frames()] == [RST_STREAM]
    assert (held.lost_with, held.trailers, bytes(held.data)) == (None, None, b"")


def test_a_stream_knows_its_peer() -> None:
    stream = Stand().open(1).stream
    assert stream.peer == "ipv4:192.0.2.7:50000"
    assert stream.peer_certificate is None


def test_what_the_protocol_above_made_of_a_head_is_found_again() -> None:
    stand = Stand()
    stand.open(1)
    stand.open(3).head.memo = "parsed"
    assert stand.open(5).head.memo == "parsed"
    assert stand.open(7, [(b"x", b"other")]).head.memo is None
