"""One recorded request as bytes, and back. Pure; docs/recorder.md describes the form for other readers.

segment   MAGIC, then records
record    PREFIX (bytes of the head, bytes of the payload, CRC-32 of both), head, payload
head      JSON; its tensors lie in the payload in their order
"""

import math
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson

from onnxd.tensors import Array, Datatype

MAGIC: Final = b"onnxd recording 1\n"
PREFIX: Final = struct.Struct("<IQI")
MOST_HEAD_BYTES: Final = 2**20

_LENGTH: Final = struct.Struct("<I")
_DATATYPES: Final = {datatype.dtype: datatype for datatype in Datatype}

Part = bytes | memoryview


class BadRecord(ValueError):
    """What was read is no record, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Record:
    """A request that was answered, or failed while it ran."""

    arrived_ns: int
    """When the head of the request was there, in nanoseconds of the Unix epoch."""
    model: str
    version: int
    """The version that answered; 0 = it failed, and the request left the choice to the server."""
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array] = field(default_factory=dict)
    """Empty also if answers are not recorded."""
    asked: Mapping[str, int] = field(default_factory=dict)
    """The outputs that the request named, with the number of classes, 0 = values; empty = all outputs."""
    total_ns: int = 0
    """From the head of the request until its answer was there to be encoded."""
    queue_ns: int = 0
    compute_ns: int = 0
    error: str = ""
    """The class of what it failed with."""
    principal: str = ""
    id: str = ""
    """Empty as `principal` is, unless the server was told to record who asked."""

    @property
    def byte_size(self) -> int:
        """Of its tensors; of text only what refers to it."""
        return sum(array.nbytes for array in (*self.inputs.values(), *self.outputs.values()))


def encode(record: Record) -> list[Part]:
    """The bytes in parts, which may be views of the record's arrays."""
    inputs, input_parts = _tensors(record.inputs)
    outputs, output_parts = _tensors(record.outputs)
    payload = [*input_parts, *output_parts]
    document: dict[str, Any] = {
        "arrived_ns": record.arrived_ns,
        "model": record.model,
        "version": record.version,
        "total_ns": record.total_ns,
        "queue_ns": record.queue_ns,
        "compute_ns": record.compute_ns,
        "inputs": inputs,
        "outputs": outputs,
    }
    for name in ("asked", "error", "principal", "id"):
        if value := getattr(record, name):
            document[name] = value
    head = orjson.dumps(document)
    if len(head) > MOST_HEAD_BYTES:
        raise BadRecord(f"its head has {len(head)} bytes, more than {MOST_HEAD_BYTES}")
    size = sum(map(len, payload))
    return [PREFIX.pack(len(head), size, _crc([head, *payload])), head, *payload]


def decode(prefix: bytes, body: memoryview) -> Record:
    """`prefix` and what follows it. Raises BadRecord."""
    head_size, size, crc = PREFIX.unpack(prefix)
    if len(body) != head_size + size or _crc([body]) != crc:
        raise BadRecord("its bytes are not those that were written (their CRC-32 is another)")
    document = decode_head(body[:head_size])
    payload = body[head_size:]
    try:
        inputs, at = _arrays(document["inputs"], payload, 0)
        outputs, at = _arrays(document["outputs"], payload, at)
        return Record(
            arrived_ns=int(document["arrived_ns"]),
            model=str(document["model"]),
            version=int(document["version"]),
            inputs=inputs,
            outputs=outputs,
            asked=dict(document.get("asked", {})),
            total_ns=int(document["total_ns"]),
            queue_ns=int(document["queue_ns"]),
            compute_ns=int(document["compute_ns"]),
            error=str(document.get("error", "")),
            principal=str(document.get("principal", "")),
            id=str(document.get("id", "")),
        )
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise BadRecord(f"its head does not say what it holds: {error!r}") from error


def decode_head(head: bytes | memoryview) -> dict[str, Any]:
    """What a record says of itself. Raises BadRecord."""
    try:
        document = orjson.loads(head)
    except orjson.JSONDecodeError as error:
        raise BadRecord(f"its head is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadRecord("its head is not an object")
    return document


def _tensors(arrays: Mapping[str, Array]) -> tuple[list[dict[str, Any]], list[Part]]:
    documents, parts = [], []
    for name, array in arrays.items():
        datatype = _DATATYPES[array.dtype]
        part = _packed(array) if datatype is Datatype.BYTES else _raw(array)
        documents.append(
            {"name": name, "datatype": datatype.value, "shape": array.shape, "byte_size": len(part)}
        )
        parts.append(part)
    return documents, parts


def _raw(array: Array) -> Part:
    if not array.size:
        return b""
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _packed(array: Array) -> bytes:
    parts: list[bytes] = []
    for text in array.reshape(-1).tolist():
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
        parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)


def _arrays(
    documents: Sequence[Mapping[str, Any]], payload: memoryview, at: int
) -> tuple[dict[str, Array], int]:
    arrays = {}
    for document in documents:
        size, shape = int(document["byte_size"]), tuple(map(int, document["shape"]))
        data = payload[at : at + size]
        if len(data) != size:
            raise ValueError(f"{document['name']} has {len(data)} bytes, not {size}")
        arrays[str(document["name"])] = _array(Datatype(document["datatype"]), shape, data)
        at += size
    return arrays, at


def _array(datatype: Datatype, shape: tuple[int, ...], data: memoryview) -> Array:
    if datatype is not Datatype.BYTES:
        return np.frombuffer(data, np.uint8).view(datatype.dtype).reshape(shape)
    texts: Array = np.empty(math.prod(shape), object)
    at = 0
    for index in range(texts.size):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size + length
        if at > len(data):
            raise ValueError("a text ends behind its tensor")
        texts[index] = str(data[at - length : at], "utf-8", "surrogatepass")
    return texts.reshape(shape)


def _crc(parts: Iterable[Part]) -> int:
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return crc
