"""Protobuf's wire format, as far as it is read and written by hand: fields of a known length.

What is read here is only cut apart. Whatever is not plainly what clients send goes to protobuf's own parser,
so that exactly that is refused which it refuses.
"""

from typing import Any, TypeVar, cast

from google.protobuf.message import DecodeError, Message

from onnxd.errors import MalformedPayload

M = TypeVar("M", bound=Message)
Wire = bytes | memoryview


def parse(kind: type[M], data: Wire) -> M:
    """Parse a message. Raises MalformedPayload for bytes that are not one."""
    try:
        return kind.FromString(cast(Any, data))  # its stub leaves out views
    except DecodeError as error:
        raise no_message(kind) from error


def no_message(kind: type[Message]) -> MalformedPayload:
    """For bytes that are not one."""
    return MalformedPayload(f"the bytes sent are not a {kind.DESCRIPTOR.full_name} message")


def read_length(data: Wire, at: int) -> tuple[int, int]:
    """The length that is written at a place, and where it ends. Raises IndexError where the data ends first,
    and ValueError for one in more bytes than it needs, or in more than four."""
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    length, shift = byte & 127, 7
    for place in range(at + 1, at + 4):
        byte = data[place]
        length |= (byte & 127) << shift
        if byte < 128:
            if not byte:
                break
            return length, place + 1
        shift += 7
    raise ValueError("a length that no serializer writes")


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last are marked."""
    if number < 128:
        return bytes((number,))
    groups = bytearray()
    while number >= 128:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def field(number: int, content: bytes) -> bytes:
    """A field of text, bytes or a message. Of a number below 16."""
    return bytes((number << 3 | 2,)) + varint(len(content)) + content


def optional(number: int, text: str) -> bytes:
    """A field of text; nothing where it is empty, which is what a field that is missing says."""
    return field(number, text.encode()) if text else b""
