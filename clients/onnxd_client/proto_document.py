"""A protobuf message as the JSON document that the HTTP side of the protocol sends for it.

protobuf's own converter writes 64-bit numbers as strings, which would give the two wires different types.
Descriptors are Any here: their stubs name two unrelated classes.
"""

from base64 import b64encode
from typing import Any

from google.protobuf.message import Message

from onnxd_client.results import Document


def document(message: Message) -> Document:
    """Original field names; unset messages and unset alternatives left out, every other default written."""
    return {
        field.name: _field(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _field(field: Any, value: Any) -> Any:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        kind = entry.fields_by_name["value"]
        return {_key(key): _one(kind, value[key]) for key in value}
    if field.is_repeated:
        return [_one(field, item) for item in value]
    return _one(field, value)


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _one(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return document(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return value
