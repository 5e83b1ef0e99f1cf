"""HPACK, and the memory of what it gave: the same list as without that memory, whatever the client sends."""

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxd.http2.head_block import HeadDecoder, HeadEncoder, encode_block
from onnxd.http2.stream import Header
from tests.support.http2_stand import REQUEST

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
    with pytest.raises(Exception, match=r"[a-z]"):
        decoder.head(block)


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
