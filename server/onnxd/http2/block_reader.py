"""Reads header blocks (RFC 7541 §3 and §6): one walk, which stops when the list is larger than anybody takes.

Tables and Huffman's code are the `hpack` library's. Its own walk copies the rest of the block for each
literal and takes several times as long, which a client that sends one new value with each request would pay
every time.
"""

from typing import Final

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from onnxd.http2.error_codes import ConnectionFault, ErrorCode
from onnxd.http2.settings import DEFAULT_HEADER_TABLE
from onnxd.http2.stream import Header

_STATIC: Final = HeaderTable.STATIC_TABLE
_FIRST_DYNAMIC: Final = len(_STATIC) + 1
_MAX_SHIFT: Final = 28
"""Integers have up to five octets after their prefix: more than any length or index needs."""
_FIELD_BYTES: Final = 32
"""What each field counts beside its name and its value (RFC 9113 §6.5.2)."""
_KNOWN: Final = 256
_LONGEST_KNOWN: Final = 32


class BlockReader:
    """Of one connection: every block that comes has to pass through it, in order."""

    __slots__ = ("_max_list", "_strings", "_table")

    def __init__(self, max_list_bytes: int) -> None:
        """`max_list_bytes`: of the largest list that is still read."""
        self._max_list = max_list_bytes
        self._table = HeaderTable()
        self._strings: dict[bytes, bytes] = {}
        """Short strings in Huffman's code that have been seen, and what they say."""

    @property
    def table_state(self) -> tuple[Header | None, int, int]:
        """As long as the first is the same object and the others are equal, a block means the same: each
        entry that is added is a new object, and stands first."""
        entries = self._table.dynamic_entries
        return (entries[0] if entries else None), len(entries), self._table.maxsize

    def read(self, block: bytes) -> list[Header]:
        """The fields in order. Raises ConnectionFault."""
        try:
            return self._read(block)
        except (IndexError, HPACKDecodingError) as error:
            raise ConnectionFault(
                ErrorCode.COMPRESSION_ERROR, "the header block cannot be decoded"
            ) from error

    def _read(self, block: bytes) -> list[Header]:
        """Raises IndexError where the block is cut off, or means an entry that is not there."""
        table = self._table
        headers: list[Header] = []
        left = self._max_list
        at, end = 0, len(block)
        while at < end:
            first = block[at]
            if first & 0x80:  # §6.1: an entry of the tables
                index, at = _integer(block, at, 0x7F)
                header = _STATIC[index - 1] if 0 < index < _FIRST_DYNAMIC else _dynamic(table, index)
            elif first & 0x60 == 0x20:  # §6.3: the table's size, before any field
                size, at = _integer(block, at, 0x1F)
                if headers or size > DEFAULT_HEADER_TABLE:
                    raise IndexError
                table.maxsize = size
                continue
            else:  # §6.2: a literal, to be added to the table or not
                adds = first & 0x40
                index, at = _integer(block, at, 0x3F if adds else 0x0F)
                if index:
                    name = (_STATIC[index - 1] if index < _FIRST_DYNAMIC else _dynamic(table, index))[0]
                else:
                    name, at = self._string(block, at)
                value, at = self._string(block, at)
                header = (name, value)
                if adds:
                    table.add(name, value)
            left -= len(header[0]) + len(header[1]) + _FIELD_BYTES
            if left < 0:
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "the header list is far too large")
            headers.append(header)
        return headers

    def _string(self, block: bytes, at: int) -> tuple[bytes, int]:
        """§5.2."""
        is_coded = block[at] & 0x80
        length, at = _integer(block, at, 0x7F)
        end = at + length
        if end > len(block):
            raise IndexError
        octets = block[at:end]
        if not is_coded:
            return octets, end
        known = self._strings.get(octets)
        if known is None:
            known = decode_huffman(octets)
            if length <= _LONGEST_KNOWN:
                if len(self._strings) >= _KNOWN:
                    self._strings.clear()
                self._strings[octets] = known
        return known, end


def _dynamic(table: HeaderTable, index: int) -> Header:
    if index < _FIRST_DYNAMIC:
        raise IndexError
    return table.dynamic_entries[index - _FIRST_DYNAMIC]


def _integer(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    """§5.1: the integer in the low bits of an octet and in those that follow, and where it ends."""
    value = block[at] & prefix
    at += 1
    if value < prefix:
        return value, at
    for shift in range(0, _MAX_SHIFT + 1, 7):
        octet = block[at]
        at += 1
        value += (octet & 0x7F) << shift
        if octet < 0x80:
            return value, at
    raise IndexError
