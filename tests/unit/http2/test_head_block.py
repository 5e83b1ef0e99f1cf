"""HPACK, and the memory of what it gave: the same list as without that memory, whatever the client sends."""

from contextlib import suppress

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxd.http2.block_reader import BlockReader
from onnxd.http2.error_codes import ConnectionFault
from onnxd.http2.field_rules import Malformed
from onnxd.http2.head_block import HeadDecoder, HeadEncoder, encode_block
from onnxd.http2.stream import Header
from tests.support.http2_stand import REQUEST

PIECES = [
    b"\x82", b"\xbe", b"\xbf", b"\x80", b"\x20", b"\x3f\xe1\x1f", b"\x3f\xe2\x1f", b"\x3f\x00",
    b"\x00\x01a\x01b",
    b"\x40\x01a\x01b", b"\x10\x01a\x81\x1f", b"\x40\x82\x1f\xff\x00", b"\x7e\x01v", b"\x0f\x2f\x01v",
    b"\xff\x80\x00",
    b"\xff\xff\xff\xff\xff\x0f", b"\x41\x8c" + bytes.fromhex("f1e3c2e5f23a6ba0ab90f4ff"),
]  # fmt: skip
"""Fields, sizes of the table, and what is nearly that."""

names = st.sampled_from([b"a", b"content-type", b"grpc-timeout", b"x-long-name-of-a-field", b"accept"])
usual = st.sampled_from([b"", b"application/grpc", b"v" * 300])
values = st.one_of(usual, st.binary(max_size=20).map(bytes.hex).map(str.encode))
fields = st.lists(st.tuples(names, values, st.booleans()), max_size=6)


@settings(max_examples=40)
@given(st.lists(fields, min_size=1, max_size=8), st.integers(0, 4096))
def test_what_is_remembered_is_what_would_be_decoded(
    heads: list[list[tuple[bytes, bytes, bool]]], table: int
) -> None:
    encoder, decoder, plain = hpack.Encoder(), HeadDecoder(2**16), hpack.Decoder(2**20)
    encoder.header_table_size = table
    for head in heads:
        sent = [*((*field, False) for field in REQUEST), *head]
        for _ in range(3):
            block = encoder.encode(sent)
            expected = [(bytes(name), bytes(value)) for name, value in plain.decode(block, raw=True)]
            assert decoder.head(block).headers == expected == [field[:2] for field in sent]


@settings(max_examples=300)
@given(st.lists(st.one_of(st.binary(max_size=12), st.sampled_from(PIECES)), max_size=8), st.booleans())
def test_any_octets_are_read_as_the_library_reads_them(pieces: list[bytes], warm: bool) -> None:
    reader, plain = BlockReader(2**20), hpack.Decoder(2**20)
    if warm:
        block = hpack.Encoder().encode([*REQUEST, (b"x-one", b"1"), (b"x-two", b"2" * 200)])
        reader.read(block)
        plain.decode(block)
    block = b"".join(pieces)
    expected: list[Header] | None = None
    with suppress(hpack.HPACKError):
        expected = [(bytes(name), bytes(value)) for name, value in plain.decode(block, raw=True)]
    if expected is None:
        with pytest.raises(ConnectionFault):
            reader.read(block)
    else:
        assert reader.read(block) == expected
        assert reader.table_state[1] == len(plain.header_table.dynamic_entries)
        assert reader.table_state[2] == plain.header_table_size


def test_clients_that_repeat_themselves_share_a_head() -> None:
    encoder, decoder = hpack.Encoder(), HeadDecoder(2**14)
    first, second, third = (decoder.head(encoder.encode(REQUEST)) for _ in range(3))
    assert second is third
    assert first.headers == second.headers


def test_a_head_is_forgotten_when_the_table_changes() -> None:
    encoder, decoder = hpack.Encoder(), HeadDecoder(2**14)
    encoder.encode(REQUEST)
    decoder.head(hpack.Encoder().encode(REQUEST))
    block = encoder.encode(REQUEST)
    before = decoder.head(block)
    assert decoder.head(block) is before
    decoder.head(encoder.encode([*REQUEST, (b"x-new", b"1")]))
    # The same octets mean other entries now: the newest has taken the first place.
    with pytest.raises(Malformed):
        decoder.head(block)


def test_trailers_and_refused_heads_change_the_table_and_else_nothing() -> None:
    encoder, decoder = hpack.Encoder(), HeadDecoder(2**14)
    encoder.encode(REQUEST)
    decoder.skip(hpack.Encoder().encode(REQUEST))
    known = decoder.head(encoder.encode(REQUEST))
    literal = encode_block([(b"x-sum", b"3")])
    assert decoder.trailers(literal) == decoder.skip(literal) == [(b"x-sum", b"3")]
    assert decoder.head(encoder.encode(REQUEST)) is known
    decoder.trailers(encoder.encode([(b"x-sum", b"3")]))
    assert decoder.head(encoder.encode(REQUEST)) is not known


def test_sensitive_fields_are_not_confused() -> None:
    encoder, decoder = hpack.Encoder(), HeadDecoder(2**14)
    for secret in (b"one", b"two", b"one"):
        block = encoder.encode([*REQUEST, hpack.NeverIndexedHeaderTuple(b"authorization", secret)])
        assert decoder.head(block).headers[-1] == (b"authorization", secret)


@given(st.lists(st.tuples(names, values), max_size=8))
def test_what_we_encode_is_read_by_others_whatever_their_table(headers: list[Header]) -> None:
    block = encode_block(headers)
    for size in (0, 4096):
        decoder = hpack.Decoder()
        decoder.header_table_size = decoder.max_allowed_table_size = size
        assert [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)] == headers
        assert not decoder.header_table.dynamic_entries


def test_a_list_is_encoded_once() -> None:
    encoder = HeadEncoder()
    first = encoder.encode([(b":status", b"200"), (b"a", b"b")])
    assert encoder.encode([(b":status", b"200"), (b"a", b"b")]) is first
    assert first == b"\x88\x00\x01a\x01b"
