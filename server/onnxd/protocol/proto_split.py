"""A ModelInferRequest cut apart: its tensors, its id, and all the rest, which clients repeat."""

from typing import Final, NamedTuple

from onnxd.protocol.proto_wire import Wire, read_length
from onnxd_protos import grpc_service_pb2 as pb

_REQUEST: Final = pb.ModelInferRequest.DESCRIPTOR.fields_by_name
_RAW: Final = _REQUEST["raw_input_contents"].number << 3 | 2
_ID: Final = _REQUEST["id"].number << 3 | 2
_KNOWN: Final = frozenset(field.number << 3 | 2 for field in _REQUEST.values())
"""The first byte of each field as clients send them."""

_COPIED_BYTES: Final = 4096
"""Up to this size a copy costs less than what it takes to work with a view."""


class Split(NamedTuple):
    """The parts of a message."""

    rest: bytes
    """A ModelInferRequest without tensors and id."""
    id: bytes
    raw: list[Wire]
    """The tensors: views where the message is one, or is large."""


def split(data: Wire) -> Split | None:
    """Cut a message apart in one walk, without a copy of its tensors; None = it is none that this can read,
    and protobuf is to say whether it is one."""
    if isinstance(data, bytes) and len(data) > _COPIED_BYTES:
        data = memoryview(data)
    rest = b""
    kept = at = 0  # from `kept` on nothing is taken into `rest` yet
    request_id: bytes | None = None
    raw: list[Wire] = []
    size = len(data)
    try:
        while at < size:
            key = data[at]
            if key not in _KNOWN:
                return None
            length, start = data[at + 1], at + 2
            if length > 127:
                length, start = read_length(data, at + 1)
            end = start + length
            if end > size:
                return None
            if key == _RAW:
                raw.append(data[start:end])
            elif key == _ID and request_id is None:
                request_id = bytes(data[start:end])
            elif key == _ID:
                return None
            else:
                at = end
                continue
            if kept < at:
                rest += data[kept:at]
            kept = at = end
    except (IndexError, ValueError):
        return None
    if kept < size:
        rest += data[kept:size]
    return Split(rest, request_id or b"", raw)
