"""Messages out of a stream's bytes, wherever these are cut."""

import gzip
import zlib
from collections.abc import Iterator

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from onnxd.errors import MalformedPayload, PayloadTooLarge, ServerError, Unavailable
from onnxd.grpc_frontend.native.messages import Inbox, framed, framed_smaller, plain, size_of
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.proto_decoder import InferDecoder
from onnxd.scheduler.payloads import PayloadBound
from tests.support.grpc_server import infer_request
from tests.support.raw_http2 import message

contents = st.lists(st.tuples(st.binary(max_size=40) | st.just(bytes(5000)), st.booleans()), max_size=5)


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = 0
    for size in cuts:
        yield data[at : at + size]
        at += size
    yield data[at:]


@settings(max_examples=300)
@given(contents, st.lists(st.integers(0, 2000), max_size=10), st.booleans())
def test_the_same_messages_come_out_however_their_bytes_come(
    sent: list[tuple[bytes, bool]], cuts: list[int], as_views: bool
) -> None:
    payloads = PayloadBound(-1)
    inbox = Inbox(-1, payloads)
    data = b"".join(message(content, compressed=compressed) for content, compressed in sent)
    for piece in pieces(data, cuts):
        buffer = bytearray(piece)
        inbox.feed(memoryview(buffer) if as_views else bytes(piece))
        buffer[:] = bytes(len(buffer))  # it may be gone afterwards
    assert not inbox.partial
    taken = [inbox.take() for _ in range(len(inbox.ready))]
    assert [(bytes(each.data), each.compressed) for each in taken] == sent
    assert payloads.held_bytes == 0


@settings(max_examples=300)
@given(st.binary(max_size=60), st.lists(st.integers(0, 10), max_size=10))
def test_any_bytes_are_messages_or_refused(data: bytes, cuts: list[int]) -> None:
    payloads = PayloadBound(-1)
    inbox = Inbox(1000, payloads)
    try:
        for piece in pieces(data, cuts):
            inbox.feed(piece)
    except (MalformedPayload, PayloadTooLarge):
        pass
    else:
        assert sum(5 + len(each.data) for each in inbox.ready) <= len(data)
    inbox.close()
    assert payloads.held_bytes == 0


def test_a_message_may_be_as_large_as_the_bound_and_no_larger() -> None:
    inbox = Inbox(10, PayloadBound(-1))
    inbox.feed(message(bytes(10)))
    with pytest.raises(PayloadTooLarge, match="at most 10 bytes, got one of 11"):
        inbox.feed(message(bytes(11))[:5])


@pytest.mark.parametrize("flag", [2, 128, 255])
def test_a_flag_that_is_none_is_refused(flag: int) -> None:
    with pytest.raises(MalformedPayload, match=f"got {flag}"):
        Inbox(-1, PayloadBound(-1)).feed(bytes([flag]) + bytes(4))


def test_E15_what_is_on_its_way_is_held_of_the_bound_on_all_payload() -> None:
    payloads = PayloadBound(1000)
    first, second = Inbox(-1, payloads), Inbox(-1, payloads)
    first.feed(message(bytes(900))[:6])
    assert payloads.held_bytes == 900
    with pytest.raises(Unavailable, match=r"inference\.max_in_flight_bytes"):
        second.feed(message(bytes(900))[:6])
    first.feed(bytes(899))
    assert payloads.held_bytes == 900
    assert len(first.take().data) == 900
    assert payloads.held_bytes == 0


def test_a_length_is_only_a_claim_and_costs_no_memory() -> None:
    inboxes = [Inbox(-1, PayloadBound(-1)) for _ in range(200)]
    for inbox in inboxes:
        inbox.feed(b"\0\x3f\xff\xff\xff" + b"x")  # 1 GiB each
        assert inbox.partial
        inbox.close()


def test_a_large_message_that_came_in_pieces_is_a_view_that_nobody_can_write() -> None:
    inbox = Inbox(-1, PayloadBound(-1))
    for piece in pieces(message(bytes(10_000)), [100]):
        inbox.feed(piece)
    data = inbox.take().data
    assert isinstance(data, memoryview)
    assert data.readonly


@pytest.mark.parametrize("data", [gzip.compress(bytes(100)), zlib.compress(bytes(100))], ids=["gzip", "zlib"])
def test_what_is_compressed_is_read_up_to_the_bound(data: bytes) -> None:
    assert plain(data, "gzip", 100) == bytes(100)
    with pytest.raises(PayloadTooLarge):
        plain(data, "deflate", 99)
    with pytest.raises(ServerError, match="does not say how"):
        plain(data, "identity", 100)


def test_an_answer_is_compressed_where_that_makes_it_smaller() -> None:
    large, small = bytes(1000), b"ab"
    zipped = b"".join(framed_smaller([large[:500], large[500:]], 1000, "gzip"))
    assert zipped[0] == 1
    assert gzip.decompress(zipped[5:]) == large
    assert b"".join(framed_smaller(small, 2, "gzip")) == message(small)
    parts: list[bytes | memoryview] = [b"a", memoryview(b"bc")]
    assert b"".join(framed(parts, size_of(parts))) == message(b"abc")
    assert b"".join(framed(bytes(5000), 5000)) == message(bytes(5000))


@pytest.mark.parametrize("pieces_of", [1, 1000, 10**6], ids=["byte by byte", "in pieces", "at once"])
@pytest.mark.parametrize("length", [3001, 100_000])
def test_a_large_tensor_is_a_view_over_what_was_received(pieces_of: int, length: int) -> None:
    array = np.arange(length, dtype=np.float64)
    for name in ("m", "mo", "mod"):  # so that it begins at another place of the message
        data = message(infer_request(name, {"x": array}).SerializeToString())
        inbox = Inbox(-1, PayloadBound(-1))
        for at in range(0, min(len(data), 5000), pieces_of):
            inbox.feed(data[at : min(at + pieces_of, 5000)])
        inbox.feed(data[min(len(data), 5000) :])
        received = inbox.take().data
        decoded = InferDecoder(ProtocolLimits()).open(received).decode(remember=True).inputs["x"]
        assert np.shares_memory(decoded, np.frombuffer(received, np.uint8))
        assert decoded.flags.aligned
        assert decoded.tolist() == array.tolist()
