"""A ModelConfig message as the JSON that Triton's configuration endpoint answers.

Protobuf's own JSON writes 64-bit integers as text and cannot do otherwise; clients compare numbers. So the
message is walked here: names as in the .proto file, every scalar and list written, absent messages left
out, enumerations by name, 64-bit integers as numbers but for the two fields that Triton leaves as text.
"""

from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

from onnxd_protos import model_config_pb2 as config_pb

_AS_TEXT: Final = frozenset(
    {
        "inference.ModelOptimizationPolicy.Cuda.GraphSpec.Shape.dim",
        "inference.ModelInstanceGroup.SecondaryDevice.device_id",
    }
)
_FLOAT: Final = FieldDescriptor.TYPE_FLOAT
_SEVEN_DIGITS: Final = ".7g"
"""What a 32-bit float holds for certain: 0.1, not 0.10000000149011612."""


def config_document(message: config_pb.ModelConfig) -> dict[str, Any]:
    """As plain values, in the order of the .proto file."""
    return _document(message)


def _document(message: Any) -> dict[str, Any]:
    return {
        field.name: _field(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _field(field: Any, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        below = field.message_type.fields_by_name["value"]
        return {str(key): _value(below, value[key]) for key in sorted(value)}
    if field.is_repeated:
        return [_value(field, item) for item in value]
    return _value(field, value)


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return _document(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    if field.full_name in _AS_TEXT:
        return str(value)
    return float(format(value, _SEVEN_DIGITS)) if field.type == _FLOAT else value
