"""Header blocks: HPACK (RFC 7541) through the `hpack` library, and what need not go through it.

Decoding in Python costs as much as all the rest of a small request, and clients that repeat themselves send
the same few octets each time. A block that adds nothing to the connection's dynamic table decodes to the same
list for as long as that table stays as it is; so what came of it, checks included, is remembered until then.
What we write uses no dynamic table, so a list is encoded once, for all connections.
"""

from typing import Final

from hpack.hpack import encode_integer
from hpack.table import HeaderTable, table_entry_size

from onnxd.http2.block_reader import BlockReader
from onnxd.http2.field_rules import Malformed, check_request, check_trailers
from onnxd.http2.stream import Header, RequestHead

_MOST_TIMES_OVER: Final = 8
"""By how much a list may be over its limit and still be read."""
_REMEMBERED: Final = 64
_LONGEST_REMEMBERED: Final = 2048
_ENCODED: Final = 512


class HeadDecoder:
    """Of one connection: every block that comes has to pass through it, in order."""

    __slots__ = ("_heads", "_max_list", "_reader")

    def __init__(self, max_list_bytes: int) -> None:
        self._max_list = max_list_bytes
        self._reader = BlockReader(max_list_bytes * _MOST_TIMES_OVER)
        self._heads: dict[bytes, RequestHead] = {}

    def head(self, block: bytes) -> RequestHead:
        """Raises ConnectionFault for a block that cannot be decoded, Malformed for a list that is no
        request's. A list over the limit is cut, and its head says so."""
        known = self._heads.get(block)
        if known is not None:
            return known
        headers, unchanged = self._read(block)
        length = check_request(headers)
        fitting = self._cut(headers)
        head = RequestHead(fitting, length, truncated=len(fitting) < len(headers))
        if unchanged and len(block) <= _LONGEST_REMEMBERED:
            if len(self._heads) >= _REMEMBERED:
                self._heads.clear()
            self._heads[block] = head
        return head

    def trailers(self, block: bytes) -> list[Header]:
        """As `head`; they are not remembered. A list over the limit is Malformed."""
        headers = self.skip(block)
        check_trailers(headers)
        if len(self._cut(headers)) < len(headers):
            raise Malformed("the trailers are too large")
        return headers

    def skip(self, block: bytes) -> list[Header]:
        """Decode for the table's sake. Raises ConnectionFault."""
        return self._read(block)[0]

    def _read(self, block: bytes) -> tuple[list[Header], bool]:
        """The list, and whether the table is as it was; if not, what is remembered is forgotten."""
        before = self._reader.table_state
        headers = self._reader.read(block)
        after = self._reader.table_state
        unchanged = before[0] is after[0] and before[1:] == after[1:]
        if not unchanged:
            self._heads.clear()
        return headers, unchanged

    def _cut(self, headers: list[Header]) -> list[Header]:
        left = self._max_list
        for count, (name, value) in enumerate(headers):
            left -= table_entry_size(name, value)
            if left < 0:
                return headers[:count]
        return headers


class HeadEncoder:
    """Header lists as blocks of literals that enter no table, so that a block is good on every connection."""

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: dict[tuple[Header, ...], bytes] = {}

    def encode(self, headers: list[Header]) -> bytes:
        key = tuple(headers)
        block = self._blocks.get(key)
        if block is None:
            block = encode_block(headers)
            if len(self._blocks) >= _ENCODED:
                self._blocks.clear()
            if len(block) <= _LONGEST_REMEMBERED:
                self._blocks[key] = block
        return block


def encode_block(headers: list[Header]) -> bytes:
    """Without Huffman's code: the octets it saves are not worth the time it takes, at either end."""
    block = bytearray()
    for name, value in headers:
        index, values = HeaderTable.STATIC_TABLE_MAPPING.get(name, (0, {}))
        if value in values:
            indexed = encode_integer(values[value], 7)
            indexed[0] |= 0x80
            block += indexed
            continue
        block += encode_integer(index, 4)
        if not index:
            block += encode_integer(len(name), 7)
            block += name
        block += encode_integer(len(value), 7)
        block += value
    return bytes(block)


def max_block_bytes(max_list_bytes: int) -> int:
    """The largest block that is read, however many frames it comes in."""
    return max(16384, max_list_bytes * 2)
